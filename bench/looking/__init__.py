"""What it costs to be looked at, and what those who look get: `python -m bench looking`."""
