"""Clusters of real processes on this machine, for the demo, trials and tests."""
