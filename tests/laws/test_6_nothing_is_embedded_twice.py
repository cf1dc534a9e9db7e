"""Law 6. A resumed job repeats no finished batch; equal texts are embedded once.

Covers pairs.givers.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

import vecrollback
from tests.laws.support import COUNTED
from tests.support import counting
from tests.support.openai_server import OpenAIServer
from tests.support.operations import start, words
from tests.support.oracle import assert_passes
from vecrollback import Document, Store
from vecrollback.embedders import open_embedder
from vecrollback.embedders.probe_texts import PROBES


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


BUILD = f"""
import sys, vecrollback
vecrollback.connect(sys.argv[1]).reembed({COUNTED!r}, name='counted', index='Flat').wait()
"""


def build(root: Path, fault: str = "") -> None:
    process = start(str(root), code=BUILD, VECROLLBACK_FAULT=fault)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == (-signal.SIGKILL if fault else 0), errors


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


def test_nothing_is_embedded_twice_for_another_prompt_before_queries(tmp_path: Path, log: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(50)])
        store.reembed(COUNTED, name="plain", index="Flat").wait()
        asked = f"{COUNTED}?query_prompt=find:+"
        planned = store.plan(asked, measure=False)
        assert (planned.reused, planned.texts) == (50, 0)
        store.reembed(asked, name="asked", index="Flat").wait()
        assert sorted(counting.embedded(log)) == sorted(words(n) for n in range(50))
        assert store.pair("plain").fingerprint != store.pair("asked").fingerprint
        store.upsert([Document("new", words(60))])
        store.catch_up("asked")
        store.catch_up("plain")
        assert len(counting.embedded(log)) == 51
        assert_passes(store.check("asked"))
        store.reembed(f"{COUNTED}?document_prompt=note+of+", name="other", index="Flat").wait()
        again = [text for text in counting.embedded(log) if text.startswith("note of note ")]
        assert len(again) == 51, "another prompt before documents is another vector"


def derived(root: Path, log: Path, given: str, wanted: str) -> tuple[Store, int]:
    """A store with a pair of the one embedder, then of the other; and how many texts were embedded for the second."""
    store = vecrollback.connect(root, create=True)
    store.upsert([Document(f"d{n}", words(n)) for n in range(50)])
    store.reembed(given, name="given", index="Flat").wait()
    before = len(counting.embedded(log))
    store.reembed(wanted, name="wanted", index="Flat").wait()
    return store, len(counting.embedded(log)) - before


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", "?metric=dot&normalize=true"),
        ("?metric=dot", "?metric=l2"),
        ("?metric=dot", ""),
    ],
)
def test_nothing_is_embedded_twice_for_another_metric(tmp_path: Path, log: Path, given: str, wanted: str) -> None:
    store, embedded = derived(tmp_path / "store", log, COUNTED + given, COUNTED + wanted)
    assert embedded == 0
    assert_passes(store.check("wanted", sample=50))


def test_lengths_that_are_gone_are_embedded_again(tmp_path: Path, log: Path) -> None:
    store, embedded = derived(tmp_path / "store", log, COUNTED, f"{COUNTED}?metric=dot")
    assert embedded == 50
    assert_passes(store.check("wanted", sample=50))


def test_nothing_is_embedded_twice_for_fewer_dimensions(tmp_path: Path) -> None:
    with OpenAIServer(64) as service, vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(50)])
        store.reembed(service.spec(), name="whole", index="Flat").wait()
        assert store.plan(service.spec(dimensions=32), measure=False).texts == 0
        service.requests.clear()
        assert store.reembed(service.spec(dimensions=32), name="short", index="Flat").wait().dimension == 32
        assert not [text for one in service.requests for text in one["input"] if text.startswith("note ")]
        assert_passes(store.check("short", sample=50))
        service.requests.clear()
        store.reembed(service.spec(dimensions=48), name="between", index="Flat").wait()
        assert not [text for one in service.requests for text in one["input"] if text.startswith("note ")]


def test_a_service_whose_short_vectors_are_others_gives_none(tmp_path: Path) -> None:
    with OpenAIServer(64) as service, vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(50)])
        store.reembed(service.spec(), name="whole", index="Flat").wait()
        service.model = open_embedder("hash:64?seed=9")
        service.requests.clear()
        store.reembed(service.spec(dimensions=32), name="short", index="Flat").wait()
        asked = {text for one in service.requests for text in one["input"]}
        assert {words(n) for n in range(50)} <= asked, "the contract alone would allow it, the probes do not"


def test_chunks_are_taken_by_their_own_text_from_a_pair_that_splits_otherwise(tmp_path: Path, log: Path) -> None:
    long = " ".join(f"note of word{n}" for n in range(60))
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("long", long), *(Document(f"d{n}", words(n)) for n in range(20))])
        store.reembed(f"{COUNTED}?chunk=semantic:240", name="coarse", index="Flat").wait()
        before = counting.embedded(log)
        store.reembed(f"{COUNTED}?chunk=semantic:120", name="fine", index="Flat").wait()
        after = counting.embedded(log)[len(before) :]
        assert not [text for text in after if text in {words(n) for n in range(20)}], (
            "short texts are one chunk in both"
        )
        assert after, "the long one is split otherwise"
        assert_passes(store.check("fine", sample=40))


def test_nothing_is_embedded_twice_after_a_cancel(many: Path, log: Path) -> None:
    with vecrollback.connect(many) as store:
        job = None

        def cancel(_: object) -> None:
            time.sleep(0.6)  # progress reaches the catalog twice a second
            store.resources.catalog.jobs.cancel(store.jobs()[0].id)

        job = store.reembed(COUNTED, name="counted", index="Flat", progress=cancel)
        with pytest.raises(vecrollback.VecrollbackError, match="cancelled"):
            job.wait()
        assert job.status().state == "cancelled"
        assert 0 < len(counting.embedded(log)) < 600
        resumed = store.reembed(COUNTED, name="counted", index="Flat")
        assert resumed.id == job.id
        assert resumed.wait().state == "ready"
    assert sorted(counting.embedded(log)) == sorted(words(n) for n in range(600))


def test_probes_are_not_documents() -> None:
    """The counting above tells the two apart by their first word."""
    assert not [text for text in PROBES if text.startswith("note ")]
