"""A process that reads files of unknown origin, with a bound on its memory: `python -m tests.support.reader_worker`.

It answers each line `{"kind", "path"}` with what became of it: `ok`, an error of ours by its class, or `raw` and the
traceback of an error of anybody else. A file that ends it is noticed by whoever asks.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.support.seeds import METRIC, NAMES, SPEC
from vecrollback import Store, connect
from vecrollback.connectors import open_connector
from vecrollback.corpus.formats import read_documents
from vecrollback.errors import VecrollbackError
from vecrollback.indexes import open_index
from vecrollback.pairs.manifest import load_manifest
from vecrollback.storage.artifacts import LocalArtifacts

MEMORY = 1 << 30
"""Bytes of address space that reading any file may take, beyond what the process has with everything imported."""


def connector(path: Path) -> None:
    opened = open_connector(str(path))
    try:
        rows = 0
        for part in opened.scan(None):
            rows += len(part.vectors)
            if rows > 50_000:
                break
        if opened.count:
            opened.take(np.array([0, min(opened.count - 1, 5)], np.int64), None)
    finally:
        opened.close()


def documents(path: Path) -> None:
    for number, _ in enumerate(read_documents(path)):
        if number > 50_000:
            break


def index(path: Path) -> None:
    opened = open_index(SPEC, path, METRIC)
    try:
        queries = np.ones((2, opened.dimension), np.float32)
        opened.search(queries, 3)
        opened.search(queries, 3, np.arange(opened.size) % 2 == 0)
        opened.reconstruct(np.arange(min(3, opened.size), dtype=np.int64))
    finally:
        opened.close()


def id_map(path: Path) -> None:
    from vecrollback.corpus.text_cache import hash_matrix
    from vecrollback.pairs.snapshots import _read_ids

    with tempfile.TemporaryDirectory() as folder:
        artifacts = LocalArtifacts(Path(folder))
        table = _read_ids(artifacts, artifacts.put_bytes(".ids.arrow", path.read_bytes()))
        table["doc_id"].to_pylist()
        hash_matrix(table["content_hash"])
        np.asarray(table["row"])


def manifest(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        artifacts = LocalArtifacts(Path(folder))
        load_manifest(artifacts, artifacts.put_bytes(".json", path.read_bytes())).artifacts()


def bundle(path: Path) -> None:
    store = _store()
    before = [pair.name for pair in store.pairs()]
    store.import_snapshot(path, name=f"p{len(before)}")


def history(path: Path) -> None:
    _store().verify_history([path])


def backup(path: Path) -> None:
    from vecrollback.pairs.backup import verify

    verify(path)


READERS: dict[str, Callable[[Path], None]] = {
    "npy": connector,
    "arrow": connector,
    "parquet": connector,
    "faiss": connector,
    "jsonl": documents,
    "csv": documents,
    "jsonl.gz": documents,
    "csv.gz": documents,
    "json": documents,
    "documents.parquet": documents,
    "index": index,
    "ids": id_map,
    "manifest": manifest,
    "bundle": bundle,
    "history": history,
    "backup": backup,
}
_opened: list[Store] = []


def _store() -> Store:
    if not _opened:
        folder = Path(tempfile.mkdtemp(prefix="vecrollback-fuzz-"))
        _folders.append(folder)
        _opened.append(connect(folder / "store", create=True))
    return _opened[0]


_folders: list[Path] = []


def outcome(kind: str, path: Path) -> tuple[str, str]:
    try:
        READERS[kind](path)
    except VecrollbackError as error:
        text = str(error)
        # What somebody else says is quoted, at most in part.
        return (type(error).__name__, "") if len(text) < 2_000 else ("raw", f"{len(text)} characters: {text[:300]}")
    except BaseException:
        return "raw", traceback.format_exc()
    return "ok", ""


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is nobody's answer
    _store()
    _warm(Path(sys.argv[1]))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(outcome(asked["kind"], Path(asked["path"]))), file=answers, flush=True)


def _warm(seeds: Path) -> None:
    """Read every seed once: what is imported or started lazily is not memory of a file's."""
    for kind, name in NAMES.items():
        said = outcome(kind, seeds / name)
        assert said == ("ok", ""), (kind, said)


if __name__ == "__main__":
    try:
        main()
    finally:
        for one in _folders:
            shutil.rmtree(one, ignore_errors=True)
