"""`python -m vecrollback` is the same command line."""

from __future__ import annotations

from vecrollback.cli.app import main

if __name__ == "__main__":
    main()
