"""The workers as the active leader knows them: sessions, leases, assignments, load and trust."""
