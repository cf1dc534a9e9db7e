"""Is `vecrollback status` done before `import lancedb` would be?

Fresh processes, one after the other, from start to exit: `status`, a rollback's dry run and a rollback that only
switches, against `python -c "import lancedb"` and, for what no Python command can go below, `python -c pass`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import common

from vecrollback import Document, connect

_PAIRS = ("v1", "v2")


def main() -> None:
    options = common.options(__doc__)
    rounds = 1 if options.small else 15
    with common.workspace(None) as root:
        _build(root / "store")
        ours = [sys.executable, "-m", "vecrollback", "--store", str(root / "store")]
        sides: dict[str, Callable[[int], object]] = {
            "lancedb": lambda _: _run(sys.executable, "-c", "import lancedb"),
            "nothing": lambda _: _run(sys.executable, "-c", "pass"),
            "status": lambda _: _run(*ours, "status"),
            "dry_run": lambda _: _run(*ours, "rollback", "--no-catch-up", "--dry-run", "--to", "v1", "--override"),
            "rollback": partial(_rollback, ours),
        }
        taken = common.paired(sides, range(rounds + 1))
    taken = {name: seconds[1:] for name, seconds in taken.items()}  # the first run fills the file cache
    measured = {}
    for name, seconds in taken.items():
        to_lancedb = common.ratio(seconds, taken["lancedb"])
        measured[name] = {"seconds": round(common.middle(seconds), 4), "to_import_lancedb": round(to_lancedb, 3)}
        print(f"{name}: {common.middle(seconds):.3f} s, {to_lancedb:.2f} of `import lancedb`")
    common.conclude("startup", {"rounds": rounds, **measured}, small=options.small)


def _build(root: Path) -> None:
    """A store whose `live` is v2 and served by v1 before."""
    with connect(root, create=True) as store:
        store.upsert([Document(row.id, row.whole, {"title": row.title}) for row in common.rows(500)])
        for seed, name in enumerate(_PAIRS):
            store.reembed(f"hash:64?seed={seed}", name=name).wait()
            store.promote(name, reason="benchmark")


def _rollback(ours: list[str], number: int) -> None:
    """To the other pair each time; the one it leaves is quarantined, which --override passes."""
    to = _PAIRS[number % 2]
    _run(*ours, "rollback", "--no-catch-up", "--to", to, "--override", "--reason", "benchmark")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
