"""A full disk: what was acknowledged stays, queries go on, and the same writes succeed once there is room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.http_server import V1, V2, build, serving
from vecrollback import Document
from vecrollback.errors import CatalogUnavailableError, RefusedError

_SIZE = 16 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here: that needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def _fill(place: Path) -> Path:
    """Take all the space there is."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space left"):
        while True:
            stream.write(bytes(4096))
    return filler


def test_a_full_disk_loses_nothing_and_serves_on(small_disk: Path) -> None:
    documents = [Document(str(i), f"text about subject {i}") for i in range(300)]
    more = [Document(f"new {i}", f"a new text about subject {i} " * 200) for i in range(300)]
    with vecrollback.connect(small_disk / "store", create=True) as store:
        store.upsert(documents)
        store.reembed("hash:32?seed=1", name="v1").wait()
        store.reembed("hash:32?seed=2", name="v2").wait()
        store.promote("v1", reason="first")
        store.promote("v2", reason="second")
        before = store.search("subject 7", k=5)
        head = store.status()["corpus"]

        filler = _fill(small_disk)
        for refused in (lambda: store.upsert(more), lambda: store.reembed("hash:32?seed=3", name="v3").wait()):
            with pytest.raises((vecrollback.VecrollbackError, OSError)):
                refused()
        assert store.search("subject 7", k=5) == before
        assert store.status()["corpus"] == head

        filler.unlink()
        assert store.upsert(more).head == 600
        assert store.rollback(reason="a test").report.verdict == "pass"  # type: ignore[union-attr]
        assert store.search("subject 7", k=5).pair == "v1"
    with vecrollback.connect(small_disk / "store") as again:
        assert again.check("v1").verdict == "pass"
        assert again.reembed("hash:32?seed=3", name="v3").wait().state == "ready"


def test_a_pair_that_cannot_fit_is_refused_before_anything_is_written(small_disk: Path) -> None:
    with vecrollback.connect(small_disk / "store", create=True) as store:
        store.upsert([Document(str(i), f"text about subject {i}") for i in range(300)])
        used = shutil.disk_usage(small_disk).used
        with pytest.raises(RefusedError, match=r"300 documents take at least 19 MiB, and \d+ MiB are free") as refused:
            store.reembed("hash:8192", name="wide", index="Flat")
        assert "vecrollback plan" in refused.value.hint
        assert store.pairs() == []
        assert shutil.disk_usage(small_disk).used < used + (1 << 20)
        assert store.reembed("hash:32", name="narrow", index="Flat").wait().state == "ready"


def test_a_rollback_works_on_a_full_disk(small_disk: Path) -> None:
    with vecrollback.connect(small_disk / "store", create=True) as store:
        store.upsert(Document(str(i), f"text about subject {i}") for i in range(300))
        for seed in (1, 2):
            store.promote(store.reembed(f"hash:32?seed={seed}", name=f"v{seed}").wait(), reason="built")
        with store.searcher() as searcher:
            assert searcher.search("subject 7", k=5).pair == "v2"
            _fill(small_disk)
            with pytest.raises((vecrollback.VecrollbackError, OSError)):
                store.upsert([Document("new", "a text " * 2000)])
            done = store.rollback(reason="on a full disk", wait=20)
            assert (done.searchers.acknowledged, done.searchers.missing) == (1, ())
            assert searcher.search("subject 7", k=5).pair == "v1"
        assert store.history(limit=1)[0].reason == "on a full disk"
    with vecrollback.connect(small_disk / "store") as again:
        assert again.live().name == "v1"
        with pytest.raises(CatalogUnavailableError, match="full"):  # the room was for one: refused, never half done
            for _ in range(200):
                again.restore("v2@1", reason="there", catch_up=False)
                again.restore("v1@1", reason="and back", catch_up=False)
        (small_disk / "filler").unlink()
        assert again.check("v1").verdict == "pass"


def test_a_full_disk_over_http_refuses_writes_and_still_rolls_back(small_disk: Path) -> None:
    store = build(small_disk / "store", V1, V2)
    with serving(store) as server:
        filler = _fill(small_disk)
        refused = server.post("/v1/documents", {"documents": [{"id": "new", "text": "a text " * 5000}]})
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "CatalogUnavailableError")
        assert server.post("/v1/search", {"query": "apples"}).json()["pair"] == "v2"
        assert server.get("/readyz").status_code == 200
        done = server.post("/v1/rollback", {"reason": "worse"})
        assert (done.status_code, done.json().get("to")) == (200, "v1@1"), done.text
        assert server.post("/v1/search", {"query": "apples"}).json()["pair"] == "v1"
        filler.unlink()
        assert server.post("/v1/documents", {"documents": [{"id": "new", "text": "a text " * 5000}]}).status_code == 200
