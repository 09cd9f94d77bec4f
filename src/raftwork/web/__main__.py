"""`python -m raftwork.web`."""

from raftwork.web.server import main

main()
