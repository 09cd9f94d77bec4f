"""Agreement on one log among replicas, by Raft or by Zab. See core.py for the contract."""
