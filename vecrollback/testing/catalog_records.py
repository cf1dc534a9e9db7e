"""Records for the catalog's suites: one of each kind, with every field that could be lost on the way filled in."""

from __future__ import annotations

from vecrollback.catalog import Catalog, chained_hash
from vecrollback.records import (
    Acknowledgements,
    Approval,
    BlastRadius,
    Certificate,
    CorpusState,
    Finding,
    Incident,
    MoveRequest,
    Pair,
    PostCheck,
    Report,
    Snapshot,
    SnapshotRef,
    Timeline,
)

EMPTY = CorpusState(0, 0, 0)
"""The state of a corpus that nothing was written to."""


def a_pair(name: str = "one") -> Pair:
    return Pair(
        name=name,
        state="ready",
        embedder="hash:32?seed=1",
        fingerprint="f" * 32,
        contract={"kind": "hash", "größe": [1, 2.5, None]},
        dimension=32,
        metric="cosine",
        index_spec="Flat",
        settings={"threshold": 0.25},
        snapshot=0,
        watermark=0,
        vectors_version=1,
        probes="p.npy",
        probe_floor=0.9999,
        created_at="2025-01-01T00:00:00.000000+00:00",
    )


def a_snapshot(pair: str = "one", number: int = 1) -> Snapshot:
    return Snapshot(pair, number, f"m{number}.json", 0, 1, "2025-01-01T00:00:00+00:00", 0.99, 30)


def a_move(pair: str = "one", expected: int = 0, snapshot: int = 1, actor: str = "somebody") -> MoveRequest:
    where = SnapshotRef(pair, snapshot)
    return MoveRequest("becaüse ☂", actor, expected_epoch=expected, kind="promote", target=where)


def a_report(verdict: str = "pass") -> Report:
    finding = Finding("deletes win", "resurrected_vector", 2, ("a", "b"), "two of them", "fail")
    certificate = Certificate(10, 0, 100, 0.2, 0.95)
    return Report("one", 1, "full", verdict, (finding,), certificate, 5, 6, "2025-01-01", {"vectors": 3})  # type: ignore[arg-type]


def an_incident() -> Incident:
    return Incident(
        number=0,
        state="open",
        alias="live",
        epoch=3,
        kind="rollback",
        source="two@1",
        target="one@1",
        reason="becaüse",
        actor="anna",
        timeline=Timeline(began="2025-01-01T00:00:00+00:00", switched="2025-01-01T01:00:00+00:00"),
        blast=BlastRadius("two", 2, 2, 7, 1),
        searchers=Acknowledgements(2, 1, ("host:1",)),
        switch_ms=12.5,
        lag=4,
        findings=a_report().findings,
        post_check=PostCheck(16, 15, 0.99, "2025-01-01"),
        trigger={"metrics": [{"metric": "errors", "value": 0.5}]},
    )


def an_approval() -> Approval:
    return Approval(0, "restore", "waiting", "one@1", 3, "becaüse", "anna", "2025-01-01", 2)


def assert_chained(catalog: Catalog) -> None:
    """Assert that every move of the history carries the hash of the one before it."""
    previous = "0" * 64
    for number, move in enumerate(catalog.aliases.history()[::-1], start=1):
        assert (move.number, move.previous_hash) == (number, previous)
        assert chained_hash({name: getattr(move, name) for name in move.__slots__}) == move.hash
        previous = move.hash
