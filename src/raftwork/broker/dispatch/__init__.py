"""Which waiting task is handed out next, queue by queue."""
