"""`python -m raftwork.web`."""

import os
from contextlib import suppress

# Before all else: what it takes to start again beside a busy broker is what it takes from that.
with suppress(OSError):
    os.nice(10)

from raftwork.web.server import main

main()
