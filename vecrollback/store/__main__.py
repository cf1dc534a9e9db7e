"""Processes that work on a store for another one: `python -m vecrollback.store COMMAND`, the store in the environment.

They stand here because automation may not know `connect`: `help DESCRIPTOR` is a helper, see
`vecrollback.store.helper_process`; all else belongs to a drill, see `vecrollback.store.automation.drills.process`.
"""

from __future__ import annotations

import sys

from vecrollback.store.store import connect


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if arguments[0] == "help":
        from vecrollback.store.helper_process import help_over

        help_over(int(arguments[1]), connect)
    else:
        from vecrollback.store.automation.drills.process import main as drill

        drill(connect, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
