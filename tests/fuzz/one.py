"""`python -m tests.fuzz.one NAME [libFuzzer's flags]`: fuzz one decoder until that is over."""

import sys
from importlib import import_module
from typing import Any

#: Not among the locked dependencies: it has wheels for one platform alone. See `make fuzz`.
atheris: Any = import_module("atheris")

with atheris.instrument_imports(include=["raftwork"]):
    from tests.fuzz.decoders import check

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, lambda data: check(name, data) and None)
    atheris.Fuzz()
