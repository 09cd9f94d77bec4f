"""Which worker a task may go to, and which of those it goes to."""
