"""A broker: it stores tasks with the other brokers, and the one that leads hands them out."""
