"""A full disk: what was acknowledged stays, queries go on, and the same writes succeed once there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from vecrollback import Document
from vecrollback.errors import CatalogUnavailableError

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
        with pytest.raises(CatalogUnavailableError, match="full"):  # a commit needs a few kB: refused, never half done
            store.rollback(reason="on a full disk", catch_up=False)
        assert store.live().name == "v2"
        assert store.search("subject 7", k=5) == before
        assert store.status()["corpus"] == head

        filler.unlink()
        assert store.upsert(more) == 600
        assert store.rollback(reason="a test").report.verdict == "pass"  # type: ignore[union-attr]
        assert store.search("subject 7", k=5).pair == "v1"
    with vecrollback.connect(small_disk / "store") as again:
        assert again.check("v1").verdict == "pass"
        assert again.reembed("hash:32?seed=3", name="v3").wait().state == "ready"
