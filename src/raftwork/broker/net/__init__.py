"""The broker's sockets, and the sessions at their other ends."""
