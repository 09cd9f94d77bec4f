"""What clients ask of the active leader."""
