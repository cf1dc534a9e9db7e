"""Is `vecrollback status` done before `import lancedb` would be, and how much of its time is ours?

Fresh processes, one after the other, from start to exit: `status`, a rollback's dry run, a rollback that only switches,
a search, and a check of a pair and of one whose embedder is a function of the user's own; against
`python -c "import lancedb"` and, for what no Python command can go below, `python -c pass`.
Beside the seconds it gives processor time, user and system, the least of all rounds: what other work on the machine
adds to it is no part of a command. `libraries` is a command of Typer's that reads one row through SQLAlchemy: what is
over it is ours. `--beside CHECKOUT` measures another checkout in the same rounds, with a store that it built itself.
Aim: `status` and `rollback` at most 0.25 s of processor time more than `python -c pass`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import common

from vecrollback import Document, connect

_PAIRS = ("v1", "v2")
_OWN = """
import numpy as np

def embed(texts):
    return np.array([[len(t) + 1, sum(map(ord, t)) % 997 + 1, t.count("e") + 1, 1] * 8 for t in texts], np.float32)
"""
_LIBRARIES = """
import typer

app = typer.Typer(add_completion=False)

@app.command()
def read(sql: str = "SELECT 1", times: int = 1) -> None:
    import sqlalchemy

    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        typer.echo(connection.scalar(sqlalchemy.text(sql)))

app()
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What one process took, in seconds."""

    seconds: float
    processor: float


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout to measure in the same run")
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="only build the store that is measured")
    options = parser.parse_args()
    if options.build:
        _build(options.build)
        return
    rounds = 1 if options.small else 15
    with common.workspace(None) as root:
        sides: dict[str, Callable[[int], Run]] = {
            "nothing": lambda _: _run(sys.executable, "-c", "pass"),
            "lancedb": lambda _: _run(sys.executable, "-c", "import lancedb"),
            "libraries": lambda _: _run(sys.executable, "-c", _LIBRARIES),
            **_commands(root / "store", None),
        }
        if options.beside:
            beside = _commands(root / "beside", options.beside)
            sides |= {f"{name} beside": side for name, side in beside.items()}
        taken: dict[str, list[Run]] = {name: [] for name in sides}
        for number in range(rounds + 1):
            for name in common.turned(list(sides), number):
                taken[name].append(sides[name](number))
    common.conclude("startup", {"rounds": rounds, **_compared(taken)}, small=options.small)


def _compared(taken: Mapping[str, list[Run]]) -> dict[str, dict[str, float]]:
    runs = {name: found[1:] for name, found in taken.items()}  # the first run fills the file cache
    seconds = {name: [run.seconds for run in found] for name, found in runs.items()}
    processor = {name: min(run.processor for run in found) for name, found in runs.items()}
    measured = {}
    for name in runs:
        to_lancedb = common.ratio(seconds[name], seconds["lancedb"])
        over = processor[name] - processor["nothing"]
        measured[name] = {
            "seconds": round(common.middle(seconds[name]), 4),
            "to_import_lancedb": round(to_lancedb, 3),
            "processor_seconds": round(processor[name], 3),
            "processor_over_nothing": round(over, 3),
        }
        print(
            f"{name}: {common.middle(seconds[name]):.3f} s, {to_lancedb:.2f} of `import lancedb`; "
            f"{over:.3f} s of processor time more than nothing"
        )
    return measured


def _commands(store: Path, checkout: Path | None) -> dict[str, Callable[[int], Run]]:
    """The commands of this checkout, or of another one, over a store that it built."""
    (store.parent / "own_model.py").write_text(_OWN)
    places = f"{store.parent}{os.pathsep}{checkout or os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
    environment = os.environ | {"PYTHONPATH": places, "VECROLLBACK_ALLOW": "own_model:embed"}
    _run(sys.executable, __file__, "--build", str(store), environment=environment)
    run = partial(_run, sys.executable, "-P", "-m", "vecrollback", "--store", str(store), environment=environment)

    def rollback(number: int) -> Run:
        # To the other pair each time; the one it leaves is quarantined, which --override passes.
        to = _PAIRS[number % 2]
        return run("rollback", "--no-catch-up", "--to", to, "--override", "--reason", "benchmark")

    return {
        "status": lambda _: run("status"),
        "dry_run": lambda _: run("rollback", "--no-catch-up", "--dry-run", "--to", "own", "--override"),
        "rollback": rollback,
        "search": lambda _: run("search", "when do ships leave"),
        "check": lambda _: run("check", "v1"),
        "check_own": lambda _: run("check", "own"),
    }


def _build(root: Path) -> None:
    """A store whose `live` is v2 and served by v1 before."""
    with connect(root, create=True) as store:
        store.upsert([Document(row.id, row.whole, {"title": row.title}) for row in common.rows(500)])
        for seed, name in enumerate(_PAIRS):
            store.reembed(f"hash:64?seed={seed}", name=name).wait()
            store.promote(name, reason="benchmark")
        store.reembed("own_model:embed", name="own").wait()


def _run(*command: str, environment: Mapping[str, str] | None = None) -> Run:
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)  # of this process alone, which no sum over all children gives
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {said}")
    return Run(time.perf_counter() - started, used.ru_utime + used.ru_stime)


if __name__ == "__main__":
    main()
