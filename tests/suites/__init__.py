"""Tests of other projects, run on Raftwork: `make suites` (docs/suites.md)."""
