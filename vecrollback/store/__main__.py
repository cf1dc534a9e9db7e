"""A process of a drill: `python -m vecrollback.store COMMAND`, with the store in the environment.

It stands here because automation may not know `connect`; see `vecrollback.automation.drills.process`.
"""

from __future__ import annotations

import sys

from vecrollback.automation.drills.process import main
from vecrollback.store.store import connect

if __name__ == "__main__":
    main(connect, sys.argv[1:])
