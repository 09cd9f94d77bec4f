"""Of the Django app."""
