"""The ten laws of the design, each by its name, where no other file tests it already.

Also: snapshots are immutable and bytes are found in test_tampering, no change is skipped and deletes win under any
history in test_state_machine, acknowledged means durable under kill -9 in test_crash.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecrollback
from tests.support import counting
from tests.support.operations import EVERY_ROW, ROOT, start, words
from tests.support.oracle import (
    EVERYTHING,
    ONE,
    QUERIES,
    TOLERANCE,
    TWO,
    assert_answers,
    assert_passes,
    assert_serves,
    embedder,
    exact,
)
from tests.support.syscalls import Trace, traced
from vecrollback import Document, Store
from vecrollback.embedders.probe_texts import PROBES
from vecrollback.errors import (
    CheckRefusedError,
    EmbedderChangedError,
    EmbeddingError,
    FingerprintMismatchError,
    NoRollbackTargetError,
    QuarantinedError,
)
from vecrollback.pairs.manifest import load_manifest

TEXTS = {f"d{n}": words(n) for n in range(30)}
SPECS = {"one": ONE, "two": TWO}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 documents; `two` served before `one`, which is live; nothing lags."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        for name in ("two", "one"):
            store.reembed(SPECS[name], name=name, index="Flat").wait()
            store.promote(name)
    return root


Traffic = tuple[subprocess.Popen[str], Path]


def traffic(root: Path, role: str, argument: str = "") -> Traffic:
    output = root.parent / f"{role}-{argument}"
    return start(str(root), role, argument, module="tests.support.traffic", output=output), output


def stop(*busy: Traffic) -> list[list[dict[str, Any]]]:
    """Ask them to end; what each said. A process that failed fails the test."""
    said = []
    for process, output in busy:
        errors = process.communicate("\n", timeout=60)[1]
        assert process.returncode == 0, errors
        said.append([json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()])
    return said


# -- 1. One pointer ---------------------------------------------------------------------------------------------------


def test_a_pair_that_became_live_stays_open_in_a_searcher_that_has_yet_to_notice(root: Path) -> None:
    with vecrollback.connect(root) as store, vecrollback.connect(root) as other:
        target = store.rollback_target().ref
        with store.searcher(follow=False) as searcher:
            searcher.search(QUERIES[0])
            searcher._warm()
            held = searcher._holder._held[target]
            other.rollback(reason="worse", catch_up=False)
            searcher._warm()  # as once a second, and before any query or the follower
            assert searcher._holder._held[target].embedder is held.embedder
            assert searcher.search(QUERIES[0]).pair == target.rpartition("@")[0]
            assert searcher._holder._held[target].view.snapshot is held.view.snapshot


def test_one_pointer_no_answer_mixes_two_pairs_and_none_fails_while_live_flips(root: Path) -> None:
    wanted = {(name, query): exact(spec, TEXTS, query) for name, spec in SPECS.items() for query in QUERIES}
    followers = [traffic(root, "query", "follow"), traffic(root, "query", "store")]
    flipper = traffic(root, "flip")
    ends = time.monotonic() + 60

    def flipping() -> bool:
        return flipper[1].read_text(encoding="utf-8").count("\n") < 40 and time.monotonic() < ends

    def ask(store: Store) -> list[tuple[float, int, str]]:
        seen = []
        with store.searcher() as searcher:
            while flipping():
                for query in QUERIES:
                    begun = time.monotonic()
                    result = searcher.search(query, k=EVERYTHING)
                    assert_answers(result, SPECS[result.pair], TEXTS, query)
                    seen.append((begun, result.epoch, result.pair))
                time.sleep(0.02)
        return seen

    with vecrollback.connect(root) as store, ThreadPoolExecutor(3) as pool:
        answers = [answer for part in pool.map(ask, [store] * 3) for answer in part]
        moves, *asked = stop(flipper, *followers)
        targets = {move.epoch: move.target.partition("@")[0] for move in store.history(alias="live")}
    for results in asked:
        assert {result["pair"] for result in results} == {"one", "two"}
        for result in results:
            exactly = wanted[result["pair"], result["query"]]
            assert result["scores"].keys() == exactly.keys()
            assert max(abs(score - exactly[id_]) for id_, score in result["scores"].items()) < TOLERANCE
            answers.append((result["begun"], result["epoch"], result["pair"]))
    assert len(moves) >= 40
    for begun, epoch, pair in answers:
        assert targets[epoch] == pair
        acknowledged = max((move["epoch"] for move in moves if move["at"] < begun), default=0)
        assert epoch >= acknowledged, "a query that began after an acknowledged move was answered by the pair before"


# -- 2. Snapshots are immutable ---------------------------------------------------------------------------------------


def test_snapshots_are_immutable_and_an_old_one_answers_as_it_did(root: Path, store: Store) -> None:
    before = [store.search(query, k=EVERYTHING) for query in QUERIES]
    files = {path: path.read_bytes() for path in (root / "artifacts").rglob("*") if path.is_file()}
    store.upsert([Document("d1", "another text by far"), Document("new", "bread")])
    store.catch_up("one")
    store.snapshot("one", rebuild=True)
    store.reembed(TWO, name="more", index="HNSW16,Flat").wait()
    store.compact(purge=True)
    store.upsert([Document("d1", TEXTS["d1"])])
    store.restore("one@1", reason="a test", catch_up=False)
    assert {path: path.read_bytes() for path in files} == files
    for query, old in zip(QUERIES, before, strict=True):
        result = store.search(query, k=EVERYTHING)
        assert result.hits == old.hits
        assert (result.pair, result.snapshot, result.watermark) == ("one", 1, old.watermark)


# -- 3. Deletes win ---------------------------------------------------------------------------------------------------


def shown(store: Store) -> dict[str, bool]:
    return {hit.id: hit.stale for query in QUERIES for hit in store.search(query, k=EVERYTHING).hits}


def test_deletes_win_over_old_snapshots_and_over_ids_added_again(root: Path, store: Store) -> None:
    with vecrollback.connect(root) as other:
        assert "d1" in shown(other)
        store.delete(["d1", "d2"])
        assert not {"d1", "d2"} & set(shown(other)), "a delete counts from the first query after it, in every process"
        store.upsert([Document("d2", "bread of another kind")])
        assert "d2" not in shown(other), "the vector of the deleted text must not stand for the new one"
        for ref in ("two@1", "one@1"):
            store.restore(ref, reason="a test", catch_up=False)
            assert not {"d1", "d2"} & set(shown(other))
        store.restore("two@1", reason="a test")
        assert shown(other)["d2"] is False
        assert "d1" not in shown(other)
        assert_passes(store.check("two"))


def test_deletes_win_over_a_pair_that_is_being_built(root: Path, store: Store) -> None:
    process = start(str(root), "reembed", VECROLLBACK_FAULT="vectors.appended")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    store.delete(["d1"])
    store.reembed("hash:32?seed=3", name="three", index="Flat").wait()
    store.promote("three")
    assert "d1" not in shown(store)
    assert_passes(store.check("three", sample=EVERY_ROW))


def test_deletes_win_to_the_last_byte_while_queries_with_filters_go_on(root: Path, store: Store) -> None:
    secret = "the one sentence that must be forgotten"
    store.upsert([Document("secret", secret, {"kind": "x"}), Document("open", "bread and boats", {"kind": "x"})])
    for name in ("one", "two"):
        store.catch_up(name)
    assert {hit.id for hit in store.search("bread", where="kind = 'x'").hits} == {"secret", "open"}
    busy = [traffic(root, "purge"), traffic(root, "write", "a")]
    store.delete(["secret"])
    ends = time.monotonic() + 3
    while time.monotonic() < ends:
        with vecrollback.connect(root) as fresh:
            assert {hit.id for hit in fresh.search("bread", where="kind = 'x'").hits} == {"open"}
    stop(*busy)
    store.compact(purge=True)
    left = [path for path in root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert not left, left


# -- 4. Acknowledged means durable ------------------------------------------------------------------------------------

STEPS = {
    "upsert": "store.upsert([Document('d1', 'changed'), Document('new', 'bread', {'kind': 'x'})])",
    "delete": "store.delete(['d2', 'd3'])",
    "catch_up": "store.catch_up('one')",
    "snapshot": "store.snapshot('one', rebuild=True)",
    "reembed": "store.reembed('hash:32?seed=3', name='three', index='Flat').wait()",
    "promote": "store.promote('three', reason='a test')",
    "rollback": "store.rollback(reason='a test', catch_up=False)",
    "restore": "store.restore('one@1', reason='a test', catch_up=False)",
    "compact": "store.compact(purge=True)",
}


@pytest.fixture(scope="module")
def trace(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    root = tmp_path_factory.mktemp("traced") / "store"
    shutil.copytree(template, root)
    lines = [
        "import os, vecrollback",
        "from vecrollback import Document",
        f"store = vecrollback.connect({str(root)!r})",
    ]
    for name, code in STEPS.items():
        lines += [f"os.write(1, b'BEGIN {name}\\n')", code, f"os.write(1, b'ACK {name}\\n')"]
    return traced("\n".join(lines), root)


@pytest.mark.parametrize("step", STEPS)
def test_acknowledged_means_every_byte_was_synced_before(trace: Trace, step: str) -> None:
    calls = trace.between(f"BEGIN {step}", f"ACK {step}")
    commits = calls.synced("catalog.db-wal")
    assert commits, "the catalog's transaction was not synced"
    assert not calls.written_after(commits[-1], "catalog.db-wal"), "the last transaction was not synced"
    touched = calls.files_made("tables/", "artifacts/")
    if step in ("upsert", "delete", "catch_up", "snapshot", "reembed", "compact"):
        assert touched
    for path in touched:
        after = calls.synced_whole(path)
        assert after, f"{path} was not synced after it was written"
        assert after[0] < commits[-1], f"{path} was synced after the transaction that names it"
        folder = [at for at in calls.synced(str(Path(path).parent)) if at > calls.named(path)]
        assert folder, f"the name of {path} was not synced"
        assert folder[0] < commits[-1]


@pytest.mark.parametrize("step", ["upsert", "delete"])
def test_acknowledged_means_the_log_is_synced_before_the_transaction_that_names_it(trace: Trace, step: str) -> None:
    calls = trace.between(f"BEGIN {step}", f"ACK {step}")
    first = min(calls.writes("catalog.db-wal"))
    for path in calls.files_made("tables/documents.lance/"):
        assert [at for at in calls.synced_whole(path) if at < first], path


def test_acknowledged_means_durable_is_not_believed_without_looking(template: Path, tmp_path: Path) -> None:
    """The trace of a store that syncs no file shows it."""
    shutil.copytree(template, tmp_path / "store")
    careless = traced(
        "import os, vecrollback\n"
        "from vecrollback import Document, durable\n"
        "durable.sync_file = lambda path: None\n"
        f"store = vecrollback.connect({str(tmp_path / 'store')!r})\n"
        "os.write(1, b'BEGIN\\n')\n"
        "store.upsert([Document('new', 'bread')])\n"
        "os.write(1, b'ACK\\n')\n",
        tmp_path / "store",
    ).between("BEGIN", "ACK")
    made = careless.files_made("tables/")
    assert {Path(path).suffix for path in made} == {".lance", ".manifest"}
    assert not any(careless.synced_whole(path) for path in made)


# -- 5. No change is skipped ------------------------------------------------------------------------------------------


def test_no_change_is_skipped_while_three_processes_write_and_two_catch_up(root: Path) -> None:
    busy = [traffic(root, "write", name) for name in ("a", "b", "c")]
    busy += [traffic(root, "refresh", name) for name in ("one", "two")]
    ends = time.monotonic() + 5
    with vecrollback.connect(root) as store:
        while time.monotonic() < ends:
            for name in ("one", "two"):
                assert_passes(store.check(name, sample=20))
            assert store.search(QUERIES[0]).hits
        said = stop(*busy)
        seqs = [fact["seq"] for part in said[:3] for fact in part]
        assert len(seqs) > 30
        assert store.status()["corpus"]["head"] == max(seqs)
        for part in said[3:]:
            assert [f["watermark"] for f in part] == sorted(f["watermark"] for f in part)
        ids = [*TEXTS, *(f"{name}-{n}" for name in "abc" for n in range(23))]
        for name in ("one", "two"):
            store.catch_up(name)
            assert_passes(store.check(name, sample=EVERY_ROW))
        assert_serves(store, {id_: document.text for id_, document in store.get(ids).items()})


# -- 6. Nothing is embedded twice -------------------------------------------------------------------------------------

COUNTED = "tests.support.counting:embed"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(counting.LOG, str(tmp_path / "calls"))
    return tmp_path / "calls"


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """600 documents, every text its own: more than one batch."""
    with vecrollback.connect(tmp_path / "many", create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(600)])
    return tmp_path / "many"


BUILD = f"import vecrollback; vecrollback.connect({{}}).reembed('{COUNTED}', name='counted', index='Flat').wait()"


def build(root: Path, fault: str = "") -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "VECROLLBACK_FAULT": fault}
    done = subprocess.run([sys.executable, "-c", BUILD.format(repr(str(root)))], env=environment, cwd=ROOT, check=False)
    assert done.returncode == (-signal.SIGKILL if fault else 0)


@pytest.mark.parametrize(
    ("fault", "written"),
    [("vectors.appended", 1), ("vectors.appended:2", 2), ("pair.advanced", 1), ("snapshot.registered", 3)],
)
def test_nothing_is_embedded_twice_that_was_written_before_the_crash(
    many: Path, log: Path, fault: str, written: int
) -> None:
    build(many, fault)
    before = counting.units(log)
    build(many)
    again = repeated(counting.embedded(log))
    assert not again & {text for unit in before[:written] for text in unit}
    assert again <= {text for unit in before[written : written + 1] for text in unit}, "more than was in work"


@pytest.mark.parametrize(("fault", "written"), [("table.data_synced", 0), ("table.data_synced:2", 1)])
def test_nothing_is_embedded_twice_but_what_was_being_written_and_embedded(
    many: Path, log: Path, fault: str, written: int
) -> None:
    build(many, fault)
    before = counting.units(log)
    build(many)
    again = repeated(counting.embedded(log))
    assert set(before[written]) <= again
    assert again <= {text for unit in before[written : written + 2] for text in unit}


def repeated(texts: list[str]) -> set[str]:
    """Texts that were embedded twice; every one of the corpus was at least once, and none three times."""
    counts = Counter(texts)
    assert counts.keys() == {words(n) for n in range(600)}
    assert max(counts.values()) <= 2
    return {text for text, count in counts.items() if count == 2}


def test_nothing_is_embedded_twice_for_duplicates_other_indexes_and_texts_that_come_back(
    tmp_path: Path, log: Path
) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", words(n % 10)) for n in range(300)])
        store.reembed(COUNTED, name="counted", index="Flat").wait()
        assert sorted(counting.embedded(log)) == sorted(words(n) for n in range(10))
        store.reembed(COUNTED, name="again", index="HNSW16,Flat").wait()
        store.reembed(COUNTED, name="counted", index="Flat").wait()
        store.upsert([Document("d0", words(0), {"only": "metadata"}), Document("d1", words(11))])
        store.delete(["d2"])
        store.catch_up("counted")
        store.upsert([Document("d1", words(1)), Document("d2", words(2)), Document("d3", words(11))])
        for name in ("counted", "again"):
            store.catch_up(name)
        store.snapshot("counted", rebuild=True)
        store.restore("counted@1", reason="a test", catch_up=False)
        store.catch_up("counted")
        assert_passes(store.check("again", sample=0))
        assert_passes(store.check("counted", sample=0))
        assert sorted(counting.embedded(log)) == sorted([*(words(n) for n in range(10)), words(11)])


def test_nothing_is_embedded_twice_after_a_cancel(many: Path, log: Path) -> None:
    with vecrollback.connect(many) as store:
        job = None

        def cancel(_: object) -> None:
            time.sleep(0.6)  # progress reaches the catalog twice a second
            store._catalog.jobs.cancel(store.jobs()[0].id)

        job = store.reembed(COUNTED, name="counted", index="Flat", progress=cancel)
        with pytest.raises(vecrollback.VecrollbackError, match="cancelled"):
            job.wait()
        assert job.status().state == "cancelled"
        assert 0 < len(counting.embedded(log)) < 600
        resumed = store.reembed(COUNTED, name="counted", index="Flat")
        assert resumed.id == job.id
        assert resumed.wait().state == "ready"
    assert sorted(counting.embedded(log)) == sorted(words(n) for n in range(600))


# -- 7. Rollback depends on nothing that may be broken ----------------------------------------------------------------

FRAGILE = "tests.support.counting:fragile"


@pytest.fixture
def broken(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`bad` is live; then its model cannot load, its vectors and its artefacts are gone."""
    flag = tmp_path / "broken"
    monkeypatch.setenv(counting.BROKEN, str(flag))
    with vecrollback.connect(root) as store:
        store.reembed(FRAGILE, name="bad", index="HNSW16,Flat").wait()
        store.promote("bad")
        bad, others = [], set()
        for snapshot in store.snapshots():
            manifest = load_manifest(store._artifacts, snapshot.manifest)
            names = {snapshot.manifest, *manifest.artifacts()}
            bad += names if snapshot.pair == "bad" else []
            others |= names if snapshot.pair != "bad" else set()
    for name in set(bad) - others:
        (root / "artifacts" / name).unlink()
    shutil.rmtree(root / "tables/vectors-bad.lance")
    flag.touch()
    return root


def test_rollback_depends_on_nothing_that_may_be_broken(broken: Path) -> None:
    with vecrollback.connect(broken) as store:
        store.upsert([Document("new", words(70))])
        switched = store.rollback(reason="everything is broken")
        assert (switched.source, switched.target, switched.trouble) == ("bad@1", "one@1", "")
        assert switched.report
        assert_passes(switched.report)
        assert_serves(store, TEXTS | {"new": words(70)})
        assert store.pair("bad").state == "quarantined"


def test_rollback_depends_on_no_model_and_no_table(broken: Path) -> None:
    code = (
        "import sys, vecrollback\n"
        f"store = vecrollback.connect({str(broken)!r})\n"
        "store.rollback(reason='a test', catch_up=False)\n"
        "print([m for m in ('torch', 'transformers', 'sentence_transformers', 'lance', 'lancedb', 'faiss') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
    with vecrollback.connect(broken) as store:
        assert store.live().name == "one"


def test_rollback_stands_when_the_proof_after_it_fails(root: Path, store: Store) -> None:
    shutil.rmtree(root / "tables/vectors-two.lance")
    switched = store.rollback(reason="a test")
    assert switched.target == "two@1"
    assert switched.trouble
    assert store.live().name == "two"


def test_rollback_reaches_searchers_that_are_serving(root: Path, store: Store) -> None:
    searcher = traffic(root, "query", "follow")
    ends = time.monotonic() + 10
    while not store.status()["searchers"] and time.monotonic() < ends:
        time.sleep(0.01)
    switched = store.rollback(reason="a test", catch_up=False)
    assert (switched.searchers.expected, switched.searchers.acknowledged) == (1, 1)
    stop(searcher)


# -- 8. Forward is gradual and gated; back is instant -----------------------------------------------------------------


def test_forward_is_gated_by_a_check(root: Path, store: Store) -> None:
    three = store.reembed("hash:32?seed=3", name="three", index="Flat").wait()
    manifest = load_manifest(store._artifacts, store._catalog.pairs.find_snapshot(three.ref).manifest)
    index = store._artifacts.path(manifest.index.artifact)
    data = bytearray(index.read_bytes())
    data[-5] ^= 1
    index.write_bytes(data)
    with pytest.raises(CheckRefusedError, match="fail"):
        store.promote("three")
    with pytest.raises(CheckRefusedError):
        store.promote("three", override=True)
    assert store.live().name == "one"
    assert_passes(store.repair(store.check("three")))
    assert store.promote("three").target.startswith("three@")


def test_forward_is_gated_by_quarantine_and_back_is_not(store: Store) -> None:
    store.rollback(reason="a test", catch_up=False)
    with pytest.raises(QuarantinedError):
        store.promote("one")
    with pytest.raises(QuarantinedError):
        store.promote("one", override=True)
    with pytest.raises(NoRollbackTargetError, match="quarantined"):
        store.rollback(reason="a test")
    assert store.promote("one", override=True, reason="it was the data").target == "one@1"


# -- 9. No vector without a fingerprint -------------------------------------------------------------------------------


def test_no_vector_without_a_fingerprint_is_searched_with(store: Store) -> None:
    with store.searcher(follow=False) as searcher:
        own = embedder(ONE).embed_queries(QUERIES)
        for result, query in zip(
            searcher.search_vectors(own, fingerprint=embedder(ONE).fingerprint, k=EVERYTHING), QUERIES, strict=True
        ):
            assert_answers(result, ONE, TEXTS, query)
        with pytest.raises(FingerprintMismatchError):
            searcher.search_vectors(embedder(TWO).embed_queries(QUERIES), fingerprint=embedder(TWO).fingerprint)
        with pytest.raises(TypeError):
            searcher.search_vectors(own)  # type: ignore[call-arg]
        with pytest.raises(vecrollback.VecrollbackError):
            searcher.search_vectors(own[:, :16], fingerprint=embedder(ONE).fingerprint)
        with pytest.raises(vecrollback.VecrollbackError):
            searcher.search_vectors(own * np.nan, fingerprint=embedder(ONE).fingerprint)


def test_no_vector_without_a_fingerprint_other_models_are_not_declared_equal(store: Store) -> None:
    with pytest.raises(EmbedderChangedError):
        store.equate("one", "two")
    with pytest.raises(EmbedderChangedError):
        store.equate("one", TWO)
    with store.searcher(follow=False) as searcher, pytest.raises(FingerprintMismatchError):
        searcher.search_vectors(embedder(TWO).embed_queries(QUERIES), fingerprint=embedder(TWO).fingerprint)


def test_no_vector_without_a_fingerprint_a_changed_model_neither_serves_nor_writes(store: Store) -> None:
    store.upsert([Document("new", words(70))])
    store._catalog.pairs.set_embedder("one", TWO)
    for use in (lambda: store.search("bread"), lambda: store.catch_up("one")):
        with pytest.raises(EmbedderChangedError):
            use()
    report = store.check("one")
    assert report.verdict == "fail"
    assert "embedder_changed" in {finding.kind for finding in report.findings}


def test_no_vector_without_a_fingerprint_a_model_that_behaves_otherwise_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Same fingerprint, other vectors: only the probes can tell."""
    monkeypatch.setenv(counting.BROKEN, str(tmp_path / "never"))
    store.reembed(FRAGILE, name="hidden", index="Flat").wait()
    other = embedder(ONE)
    monkeypatch.setattr(counting, "fragile", other.embed_documents)
    monkeypatch.setattr("vecrollback.embedders.callables._source_digest", lambda _: digest)
    digest = store.pair("hidden").contract["source"]
    with vecrollback.connect(store.root) as later:
        assert later._models.open(FRAGILE).fingerprint == store.pair("hidden").fingerprint
        with pytest.raises(EmbedderChangedError, match="probe"):
            later.promote("hidden", override=True, reason="a test")
        assert later.check("hidden").verdict == "fail"


# -- 10. Unknown is not OK --------------------------------------------------------------------------------------------


def test_unknown_is_not_ok(root: Path, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    monkeypatch.setenv(counting.BROKEN, str(flag))
    store.reembed(FRAGILE, name="dark", index="Flat").wait()
    store.promote("dark")
    store.promote("one")
    flag.touch()
    with vecrollback.connect(root) as later:
        report = later.check("dark")
        assert report.verdict == "unknown"
        assert {finding.kind for finding in report.findings} == {"embedder_unavailable"}
        assert report.certificate is None
        with pytest.raises(CheckRefusedError, match=r"unknown.*weights are gone"):
            later.promote("dark")
        with pytest.raises(EmbeddingError, match="weights are gone"):  # an override does not make a model work
            later.promote("dark", override=True, reason="a test")
        assert later.live().name == "one"
        with pytest.raises(NoRollbackTargetError, match="unknown"):
            later.rollback("dark", reason="a test")
        assert later.rollback(reason="a test").target == "two@1"


def test_unknown_is_not_ok_a_sample_of_nothing_certifies_nothing(store: Store) -> None:
    report = store.check("one", sample=0)
    assert report.certificate
    assert report.certificate.bound == 1.0
    whole = store.check("one", sample=EVERY_ROW)
    assert whole.certificate
    assert (whole.certificate.bound, whole.certificate.sampled) == (0.0, len(TEXTS))


def test_probes_are_not_documents() -> None:
    """The counting above tells the two apart by their first word."""
    assert not [text for text in PROBES if text.startswith("note ")]
