"""The other brokers: how they are reached, believed and joined."""
