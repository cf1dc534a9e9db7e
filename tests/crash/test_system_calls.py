"""A fault at any system call of any command: nothing acknowledged is lost, nothing half done shows, no raw error.

`pytest -m slow tests/crash/test_system_calls.py` goes over every operation; the seed is printed and taken from
VECROLLBACK_SEED. What was found is in tests/crash/README.md.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.faults import (
    CALLS,
    ERRORS,
    KILL,
    READS,
    Outcome,
    SystemFault,
    calls_made,
    dealt,
    every,
    require_strace,
    strike,
)
from vecrollback import Document
from vecrollback.embedders import open_embedder
from vecrollback.errors import ApprovalNeededError
from vecrollback.store.store import Store

V1, V2, V3 = "hash:32?seed=1", "hash:32?seed=2", "hash:32?seed=3"
GONE = "d1"

OPERATIONS: dict[str, list[str]] = {
    "ingest": ["ingest", "more.jsonl"],
    "delete": ["delete", "d2", "d3"],
    "reembed": ["reembed", V3, "--name", "v3", "--index", "Flat"],
    "promote": ["promote", "v3x", "--reason", "a test", "--override"],
    "rollback": ["rollback", "--reason", "a test"],
    "rollback without catch-up": ["rollback", "--reason", "a test", "--no-catch-up"],
    "restore": ["restore", "v1@1", "--reason", "a test"],
    "catch-up": ["catch-up", "v2"],
    "snapshot create": ["snapshot", "create", "v2", "--rebuild"],
    "snapshot export": ["snapshot", "export", "v1@1", "out.bundle"],
    "snapshot import": ["snapshot", "import", "v1.bundle", "--name", "imported"],
    "snapshot tag": ["snapshot", "tag", "v1@1", "good"],
    "compact": ["compact"],
    "compact purge": ["compact", "--purge"],
    "retire": ["retire", "v3x"],
    "check": ["check", "v2"],
    "freeze": ["freeze", "--reason", "a test"],
    "token create": ["token", "create", "--role", "reader", "--name", "shop"],
    "golden add": ["golden", "add", "note 4", "--expect", "d4"],
    "history export": ["history", "export", "history.json"],
    "incident close": ["incident", "close", "1", "--cause", "a test"],
    "incident add-golden": ["incident", "add-golden", "1", "--query", "note 4", "--expect", "d4"],
    "init": ["init"],
    "adopt": ["adopt", "vectors.npy", "--texts", "more.jsonl", "--model", V3, "--name", "adopted"],
    "worker": ["worker", "--once"],
    "repair": ["repair", "v1"],
    "reconcile": ["reconcile"],
    "rollback corpus": ["rollback", "--corpus", "21", "--reason", "a test"],
    "canary start": ["canary", "start", "v3x", "--reason", "a test"],
    "canary stop": ["canary", "stop", "--reason", "a test"],
    "approve": ["approve", "1"],
    "reject": ["reject", "1", "--reason", "a test"],
    "unfreeze": ["unfreeze"],
    "token revoke": ["token", "revoke", "stock"],
    "golden import": ["golden", "import", "golden.jsonl"],
    "snapshot untag": ["snapshot", "untag", "old"],
    "snapshot delete": ["snapshot", "delete", "v3x@1"],
    "prune": ["prune", "--keep", "1", "--cool-down", "0"],
    "backup create": ["backup", "create", "out.backup"],
    "backup restore": ["backup", "restore", "store.backup", "--store", "new"],
    "erasures export": ["erasures", "export", "erasures.jsonl"],
    "erasures apply": ["erasures", "apply", "erasures.jsonl"],
    "pair export": ["pair", "export", "v1", "out.parquet"],
    "incident export": ["incident", "export", "1", "out.md"],
    "golden remove": ["golden", "remove", "asked"],
    "search": ["search", "note 1"],
    "purity": ["purity", "v1"],
    "drill": ["drill"],
}


def _start_canary(store: Store) -> None:
    store.check("v3x")
    store.canaries.start("v3x", reason="a test")


def _ask_for_a_restore(store: Store) -> None:
    (store.root / "vecrollback.toml").write_text("[policy.authority]\nrestore_approvals = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VECROLLBACK_TRUST", str(store.root))
        with vecrollback.connect(store.root, actor="tester") as trusting, pytest.raises(ApprovalNeededError):
            trusting.restore("v1@1", reason="a test")


def _note_an_erasure(store: Store) -> None:
    """A delete that this store has not seen, as after a restore of an older copy."""
    path = store.root.parent / "erasures.jsonl"
    store.export_erasures(path)
    note = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps(note | {"id": "d3", "change": 99}) + "\n")


PREPARATIONS: dict[str, Callable[[Store], object]] = {
    "canary start": lambda store: store.check("v3x"),
    "canary stop": _start_canary,
    "approve": _ask_for_a_restore,
    "reject": _ask_for_a_restore,
    "unfreeze": lambda store: store.freezes.freeze("a test", actor="tester"),
    "token revoke": lambda store: store.access.create("reader", "stock", actor="tester"),
    "golden remove": lambda store: store.golden.add("note 9", ["d9"], id="asked"),
    "erasures apply": _note_an_erasure,
    "snapshot untag": lambda store: store.tag("old", "v1@1"),
    "snapshot delete": lambda store: store.snapshot("v3x", rebuild=True),
    "prune": lambda store: store.retention.retire(store.pair("v3x")),
}
"""What an operation needs that the template has not."""
TOLD = {"error", "verdict", "move", "trouble", "switched", "failures"}
"""What an answer with another exit code than 0 has one of."""
MOVES_TO_V1 = ("rollback", "rollback without catch-up", "restore", "approve")
KINDS = (*ERRORS, *[KILL] * len(ERRORS))
"""Half of the faults are kills."""
FEW = ("ingest", "delete", "rollback without catch-up", "snapshot tag")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which v2 is live, v1 stands by, v3x is ready, a document is gone, and there is an incident."""
    folder = tmp_path_factory.mktemp("template")
    with vecrollback.connect(folder / "store", create=True, actor="tester") as store:
        store.upsert([Document(f"d{n}", f"note {n}", {"n": n}) for n in range(20)])
        for name, spec in (("v1", V1), ("v2", V2)):
            store.promote(store.reembed(spec, name=name, index="Flat").wait(), reason="first")
        store.reembed("hash:32?seed=4", name="v3x", index="Flat").wait()
        store.rollback(reason="a first try", catch_up=False)
        store.promote("v2", reason="again", override=True)
        store.delete([GONE])
        store.upsert([Document("d5", "another note 5")])
        store.check("v1")
        store.check("v2")
        store.export_snapshot("v1@1", folder / "v1.bundle")
        store.backups.create(folder / "store.backup")
    np.save(folder / "vectors.npy", open_embedder(V3).embed_documents([f"more {n}" for n in range(5)]))
    (folder / "golden.jsonl").write_text(json.dumps({"query": "note 4", "expected": ["d4"]}) + "\n")
    rows = ({"id": f"m{n}", "text": f"more {n}"} for n in range(5))
    (folder / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize("operation", FEW)
def test_a_fault_at_a_system_call_loses_nothing(template: Path, tmp_path: Path, operation: str) -> None:
    require_strace()
    chance = random.Random(f"one of each: {operation}")
    # Of a call that each of these makes a few times; the slow run counts them first.
    fault = next(dealt(chance, [("fdatasync", 1), ("fsync", 2), ("pwrite64", 4)], KINDS))
    assert _strike_and_look(template, tmp_path / "world", operation, fault).struck, fault


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_at_every_kind_of_call_of_every_command_loses_nothing(
    template: Path, tmp_path: Path, operation: str
) -> None:
    require_strace()
    seed = os.environ.get("VECROLLBACK_SEED") or str(random.randrange(10**6))
    number = int(os.environ.get("VECROLLBACK_FAULTS", "50"))
    kinds = os.environ.get("VECROLLBACK_FAULT_KINDS", ",".join(KINDS)).split(",")
    places = calls_made(laid_out(template, tmp_path / "counted", operation), OPERATIONS[operation])
    faults = islice(dealt(random.Random(f"{seed} {operation}"), places, kinds), number)
    struck = _strike_each(template, tmp_path, operation, list(faults))
    print(f"{operation}: seed {seed}, {len(places)} calls, {number} faults, of which struck {dict(struck)}")
    assert struck.total()


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_at_every_single_call_of_a_command_loses_nothing(
    template: Path, tmp_path: Path, operation: str
) -> None:
    require_strace()
    kinds = os.environ.get("VECROLLBACK_FAULT_KINDS", f"EIO,ENOSPC,{KILL}").split(",")
    calls = os.environ.get("VECROLLBACK_CALLS", ",".join((*CALLS, *READS))).split(",")
    root = laid_out(template, tmp_path / "counted", operation)
    places = calls_made(root, OPERATIONS[operation], calls)
    faults = every(places, kinds)
    struck = _strike_each(template, tmp_path, operation, faults)
    print(f"{operation}: {len(places)} calls, {len(faults)} faults, of which struck {dict(struck)}")
    assert struck.total() or not faults


def _strike_each(template: Path, tmp_path: Path, operation: str, faults: list[SystemFault]) -> Counter[str]:
    """How many faults of each kind struck. All are tried, and those that broke a promise are told together."""
    struck: Counter[str] = Counter()
    broken = []
    for number, fault in enumerate(faults):
        try:
            outcome = _strike_and_look(template, tmp_path / str(number), operation, fault)
        except Exception as error:
            broken.append(f"{operation}: {fault}: {tmp_path / str(number)}: {type(error).__name__}: {error}")
            print(broken[-1])
        else:
            struck[fault.kind] += outcome.struck
            shutil.rmtree(tmp_path / str(number))
    assert not broken, f"{len(broken)} of {len(faults)} faults"
    return struck


def laid_out(template: Path, world: Path, operation: str) -> Path:
    """A store of one's own that an operation finds something to do in."""
    shutil.copytree(template, world)
    if prepare := PREPARATIONS.get(operation):
        with vecrollback.connect(world / "store", actor="tester") as store:
            prepare(store)
    return world / "store"


def _strike_and_look(template: Path, world: Path, operation: str, fault: SystemFault) -> Outcome:
    root = laid_out(template, world, operation)
    outcome = strike(root, OPERATIONS[operation], fault)
    if fault.kind != KILL and not outcome.elsewhere:
        _require_words_of_ours(outcome)
    look(root, operation, acknowledged=outcome.code == 0)
    return outcome


def _require_words_of_ours(outcome: Outcome) -> None:
    """A process that an error of the disk struck was not ended by it, and says what is the matter, or is done."""
    assert outcome.code >= 0, outcome
    assert not [raw for raw in ("Traceback", "panicked") if raw in outcome.errors], outcome.errors
    if outcome.code == 0:
        json.loads(outcome.output)
    else:
        assert outcome.output or outcome.errors
        assert not outcome.output or set(json.loads(outcome.output)) & TOLD, outcome.output


def look(root: Path, operation: str, *, acknowledged: bool) -> None:
    """Every promise holds, whatever was interrupted; what was acknowledged is there."""
    with vecrollback.connect(root) as store:
        assert store.setback() is None
        assert store.verify_history().verdict == "pass"
        live = store.live().name
        assert live in ({"v1", "v2"} | ({"v3x"} if operation == "promote" else set()))
        if acknowledged and operation in MOVES_TO_V1:
            assert live == "v1"
        there = set(store.get([*(f"d{n}" for n in range(20)), *(f"m{n}" for n in range(5))]))
        assert GONE not in there
        added, removed = {f"m{n}" for n in range(5)}, {"d2", "d3"}
        assert there - added >= {f"d{n}" for n in range(20)} - {GONE} - removed
        assert there & added in ((added,) if acknowledged and operation in ("ingest", "adopt") else (set(), added))
        if acknowledged and operation in ("delete", "erasures apply"):
            assert not there & (removed if operation == "delete" else {"d3"})
        answer = store.search("note 1", 20)
        assert answer.current
        assert {hit.id for hit in answer.hits} <= there
        store.catch_up(live)
        report = store.check(live)
        assert report.verdict == "pass", report.findings
        if acknowledged and operation == "token create":
            assert [token.name for token in store.access.tokens()] == ["shop"]
        if acknowledged and operation == "golden remove":
            assert not store.golden.list()
        if acknowledged and operation == "snapshot tag":
            assert store.tags()["good"] == "v1@1"
        if operation == "approve":
            [asked] = store.approvals.all()
            assert (asked.state == "done") == (live == "v1"), asked
