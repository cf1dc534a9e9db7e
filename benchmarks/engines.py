"""What does an engine add to a unit, and what does a kill cost a job?

*Overhead*: units of one short text through each engine, as many at a time as it takes, less the same units by a plain
call; so it is what sending, waking and answering take. `starting` is what it takes until every worker has answered
once, its interpreter and the packages included; the model is `hash:384`, which is nothing to load.
*Resuming*: the job of one process over real texts with all-MiniLM-L6-v2, against the same job whose process is killed
with SIGKILL in the middle of its second unit and which is then begun again: seconds and processor time of both, and
texts that were written twice. What the second process must load again is given by a third job, which has nothing to do.
Aim: under 5 ms a unit, which is to last ten seconds; no written text embedded again.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import common

from vecrollback import Document, connect
from vecrollback.embedders import open_embedder
from vecrollback.reembedding.engines import EmbeddedUnit, EmbedderRecipe, Unit, open_engine
from vecrollback.reembedding.engines.base import run_unit

_MODEL = "hash:384?seed=1"
_JOB = """
import json, sys, vecrollback
with vecrollback.connect(sys.argv[1]) as store:
    tell = lambda p: print(json.dumps({"embedded": p.embedded, "elapsed": p.elapsed}), flush=True)
    store.reembed(sys.argv[2], name=sys.argv[3], progress=tell).wait()
"""


def main() -> None:
    options = common.options(__doc__)
    units, count = (5, 20) if options.small else (300, 500)
    settings = ["inline", "local:1", "local:2", *(["dask:2"] if find_spec("distributed") else [])]
    measured: dict[str, Any] = {"units": units, "plain_ms": round(_plain(units) * 1e3, 3)}
    for setting in settings:
        measured[setting] = _engine(setting, units, measured["plain_ms"] / 1e3)
        print(f"{setting}: {measured[setting]}", flush=True)
    with common.workspace(options.keep) as root:
        measured["resuming"] = _resuming(root / "store", common.model() or _MODEL, common.rows(20 * count)[::20])
    common.conclude("engines", measured, small=options.small)


def _plain(units: int) -> float:
    """Seconds of a unit by a plain call."""
    embedder = open_embedder(_MODEL)
    run_unit(embedder, Unit(0, ("a short text",)))
    started = time.perf_counter()
    for number in range(units):
        run_unit(embedder, Unit(number, ("a short text",)))
    return (time.perf_counter() - started) / units


def _engine(setting: str, units: int, plain: float) -> dict[str, float]:
    embedder = open_embedder(_MODEL)
    engine = open_engine(setting, EmbedderRecipe(_MODEL, frozenset({embedder.fingerprint})), embedder)
    try:
        started = time.perf_counter()
        for number in range(engine.width):
            engine.submit(Unit(number, ("a short text",)))
        for _ in range(engine.width):
            engine.take()
        starting, width, begun, running = time.perf_counter() - started, engine.width, 0, 0
        started = time.perf_counter()
        while begun < units or running:
            while begun < units and running < width:
                engine.submit(Unit(begun, ("a short text",)))
                begun, running = begun + 1, running + 1
            assert isinstance(engine.take(), EmbeddedUnit)
            running -= 1
        seconds = (time.perf_counter() - started) / units
    finally:
        engine.close()
    return {"starting_seconds": round(starting, 2), "overhead_ms": round((seconds - plain) * 1e3, 3)}


def _resuming(root: Path, spec: str, rows: Sequence[common.Row]) -> dict[str, Any]:
    with connect(root, create=True) as store:
        store.upsert([Document(row.id, row.whole) for row in rows])
    whole = _run(root, spec, "whole")
    nothing = _run(root, spec, "whole")
    # the other jobs get fingerprints of their own, or they would take over what the first one made
    mark = "&" if "?" in spec else "?"
    killed = _run(root, f"{spec}{mark}document_prompt=a+", "killed", kill=True)
    resumed = _run(root, f"{spec}{mark}document_prompt=a+", "killed")
    with connect(root) as store:
        pair = store.pair("killed")
        keys = store.resources.vectors_of(pair).keys(pair.vectors_version)
        changes = list(zip(keys["doc_id"].to_pylist(), keys["seq"].to_pylist(), strict=True))
    return {
        "documents": len(rows),
        "uninterrupted": whole,
        "nothing_to_do": nothing,
        "killed": killed,
        "resumed": resumed,
        "written_twice": len(changes) - len(set(changes)),
        "embedded_before_and_after": killed["embedded"] + resumed["embedded"],
        "seconds_ratio": round((killed["seconds"] + resumed["seconds"]) / whole["seconds"], 3),
        "processor_ratio": round((killed["processor"] + resumed["processor"]) / whole["processor"], 3),
    }


def _run(root: Path, spec: str, name: str, *, kill: bool = False) -> dict[str, float]:
    """A job in a process of its own; `kill`: end it half a unit after its first one was written."""
    before, started = _children(), time.perf_counter()
    command = [sys.executable, "-c", _JOB, str(root), spec, name]
    embedded = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            told = json.loads(line)
            embedded = max(embedded, told["embedded"])
            if kill and embedded:
                time.sleep(told["elapsed"] / 2)
                process.kill()
                break
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "processor": round(_children() - before, 2),
        "embedded": embedded,
    }


def _children() -> float:
    """Seconds of processor time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    main()
