"""What tasks cost that are other than ordinary: `python -m bench semantics [ROW …]`."""
