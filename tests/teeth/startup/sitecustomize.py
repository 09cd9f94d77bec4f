"""Python imports this at every start that has its directory on PYTHONPATH (breaking.py)."""

from tests.teeth.breaking import install

install()
