"""`python -m raftwork` is the `raftwork` command."""

from raftwork.cli import main

if __name__ == "__main__":
    main(prog_name="raftwork")
