"""Whatever a file of unknown origin holds, reading it gives rows or an error of ours, in bounded memory.

Files are changed by Hypothesis and read in a process of its own, whose address space is bounded (1 GiB beyond what it
has with everything imported). What would end that process, or take more, is seen here.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import bundle_files, seeds
from tests.support.operations import ROOT
from tests.support.seeds import JSON_KINDS, NAMES

_ODD_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_ODD_VALUES = (None, True, -1, 0, 10**400, 1e308, "", "\ud800", "\0", "../../etc", "a" * 5_000, [], [[]], {}, {"a": {}})


_MANY = int(os.environ.get("VECROLLBACK_FUZZ", "2000"))


class ReaderProcess:
    """The process that reads; started again when a file has ended it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def read(self, kind: str, content: bytes) -> tuple[str, str]:
        """What became of a file of that kind."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        path = self._folder / f"changed-{NAMES.get(kind, f'rows.{kind}')}"
        path.write_bytes(content)
        process.stdin.write(json.dumps({"kind": kind, "path": str(path)}) + "\n")
        process.stdin.flush()
        said = process.stdout.readline()
        if not said:
            code = process.wait(60)
            self._process = None
            return "ended", f"the process ended with {code}"
        result, text = json.loads(said)
        return result, text

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.reader_worker", str(self._folder)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=(self._folder / "worker.log").open("a"),
                text=True,
            )
            assert self._process.stdout is not None
            ready = self._process.stdout.readline()
            assert ready, (self._folder / "worker.log").read_text()[-3_000:]
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.stdin.close()  # type: ignore[union-attr]
            self._process.wait(60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("seeds")
    seeds.make(made)
    return made


@pytest.fixture(scope="module")
def reader(folder: Path) -> Iterator[ReaderProcess]:
    with contextlib.closing(ReaderProcess(folder)) as process:
        yield process


@st.composite
def changed(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with a few of its bytes flipped, overwritten by odd numbers, taken out, doubled, or cut off."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        # Headers and footers say more than what lies between them.
        length = max(1, len(data))
        place = draw(st.one_of(st.integers(0, min(512, length) - 1), st.integers(0, length - 1)))
        at = draw(st.sampled_from((place, length - 1 - place)))
        kind = draw(st.sampled_from(("flip", "flip", "number", "number", "drop", "double", "cut", "bytes")))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "number":
            size = draw(st.sampled_from((1, 2, 4, 8)))
            number = draw(st.sampled_from(_ODD_NUMBERS)) % (1 << 8 * size)
            data[at : at + size] = number.to_bytes(size, draw(st.sampled_from(("little", "big"))))
        elif kind == "drop":
            del data[at : at + draw(st.integers(1, 64))]
        elif kind == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 64))]
        elif kind == "cut":
            del data[at:]
        else:
            data[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=16))
    return bytes(data)


@st.composite
def changed_json(draw: st.DrawFn, value: Any) -> bytes:
    """The document with some of its values replaced by odd ones, or left out."""
    copy = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        parent, key = None, None
        node = copy
        while isinstance(node, dict | list) and node and (parent is None or draw(st.booleans())):
            parent, key = node, draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            node = node[key]
        if parent is None:
            return json.dumps(draw(st.sampled_from(_ODD_VALUES))).encode()
        if draw(st.integers(0, 4)) == 0:
            del parent[key]
        else:
            parent[key] = deepcopy(draw(st.sampled_from(_ODD_VALUES)))  # the next change may be within it
    return json.dumps(copy).encode()


def strategy(kind: str, content: bytes) -> st.SearchStrategy[bytes]:
    if kind in JSON_KINDS:
        return st.one_of(changed(content), changed_json(json.loads(content)))
    return changed(content)


@st.composite
def changed_bundle(draw: st.DrawFn, members: bundle_files.Members) -> bytes:
    """A bundle of which some members are changed, whose table of contents and digests are right again."""
    name = draw(st.sampled_from(sorted(name for name in members if not name.startswith("bundle."))))
    content = members[name]
    if name.endswith(".json") and draw(st.booleans()):
        other = draw(changed_json(json.loads(content)))
    else:
        other = draw(changed(content))
    suffix = {"probes.npy": (".npy", "probes"), "index": (".index", "artifact"), "ids.arrow": (".ids.arrow", "ids")}
    if name in suffix:
        return bundle_files.with_artifact(members, name, other, suffix=suffix[name][0], key=suffix[name][1])
    if name == "manifest.json":
        with contextlib.suppress(ValueError, TypeError):
            return bundle_files.with_manifest(members, **json.loads(other))
    return bundle_files.sealed(members | {name: other})


def fuzz(reader: ReaderProcess, kind: str, files: st.SearchStrategy[bytes], examples: int) -> Counter[str]:
    """Read so many changed files; fail for the first that is not read, or refused, as it should be."""
    counts: Counter[str] = Counter()

    @given(content=files)
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # what each read says is enough to look for; shrinking takes minutes for a file
    )
    def read(content: bytes) -> None:
        result, said = reader.read(kind, content)
        counts[result] += 1
        assert result not in ("raw", "ended"), f"{kind}: {said}"

    read()
    return counts


@pytest.mark.parametrize("kind", NAMES)
def test_a_changed_file_is_read_or_refused_in_words_of_ours(reader: ReaderProcess, folder: Path, kind: str) -> None:
    fuzz(reader, kind, strategy(kind, (folder / NAMES[kind]).read_bytes()), 40)


def test_a_changed_bundle_whose_digests_are_right_again_is_read_or_refused(reader: ReaderProcess, folder: Path) -> None:
    members = bundle_files.members(folder / NAMES["bundle"])
    fuzz(reader, "bundle", changed_bundle(members), 40)


def _npy(shape: str, descr: str = "'<f4'", version: int = 1, length: int | None = None) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + size.to_bytes(2 if version == 1 else 4, "little") + text


def _faiss_promise(content: bytes, place: int, number: int) -> bytes:
    return content[:place] + number.to_bytes(8, "little") + content[place + 8 :]


def _compressed_arrow() -> bytes:
    """Arrow whose compressed buffers say that they unfold into 2^40 bytes each."""
    table = pa.table({"id": ["a"] * 500, "vector": pa.array([[1.0, 2.0]] * 500, pa.list_(pa.float32(), 2))})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    content, mark = bytearray(sink.getvalue().to_pybytes()), b"\x28\xb5\x2f\xfd"  # how a frame of zstd begins
    at = content.find(mark)
    while at >= 0:
        content[at - 8 : at] = (1 << 40).to_bytes(8, "little")  # before it stands its length when unfolded
        at = content.find(mark, at + 1)
    return bytes(content)


def _unfolds_into(bytes_in_all: int, block: bytes) -> bytes:
    """A gzip file of so many bytes, all of them this block again and again."""
    part = block * ((16 << 20) // len(block))
    return gzip.compress(part, 1) * (bytes_in_all // len(part))


PROMISES = {
    "an array of terabytes": ("npy", lambda _: _npy("(1000000000000, 8)")),
    "an array of more than can be counted": ("npy", lambda _: _npy("(1000000000000, 1000000000000)")),
    "an array of a negative size": ("npy", lambda _: _npy("(-4, 8)")),
    "an array of 9 ** 9 ** 9": ("npy", lambda _: _npy("(9 ** 9 ** 9, 8)")),
    "an array whose shape is nested": ("npy", lambda _: _npy("(" * 5_000 + ")" * 5_000)),
    "an array of objects": ("npy", lambda _: _npy("(4, 8)", "'|O'")),
    "an array of nested types": ("npy", lambda _: _npy("(4, 8)", "[('a', [('b', '<f4', (1000000, 1000000))])]")),
    "an array whose header is 4 GiB": ("npy", lambda _: _npy("(4, 8)", version=2, length=(1 << 32) - 1)),
    "an archive that unfolds": ("npy", lambda _: bundle_files.zip_of_zeros()),
    "an index of terabytes": ("faiss", lambda seed: _faiss_promise(seed, 8, 1 << 40)),
    "an index of more than can be counted": ("faiss", lambda seed: _faiss_promise(seed, 8, (1 << 63) - 1)),
    "vectors of terabytes": ("faiss", lambda seed: _faiss_promise(seed, len(seed) - 8 * 240, 1 << 40)),
    "buffers that unfold": ("arrow", lambda _: _compressed_arrow()),
    "a footer of 2 GiB": ("parquet", lambda seed: seed[:-8] + (0x7FFFFFFF).to_bytes(4, "little") + b"PAR1"),
    "a document of 1280 MiB": ("jsonl.gz", lambda _: _unfolds_into(1280 << 20, b"a")),
    "a file of 1280 MiB of nothing": ("jsonl.gz", lambda _: _unfolds_into(1280 << 20, b"[" * 1_000)),
    "a line of 1280 MiB of a table": ("csv.gz", lambda _: _unfolds_into(1280 << 20, b'"')),
    "lists in lists": ("json", lambda _: b"[" * 1_000_000),
    "objects in objects": ("history", lambda _: b'{"history":' * 100_000),
    "a manifest in a manifest": ("manifest", lambda _: b'{"index":' * 100_000),
    "documents in documents": (
        "jsonl",
        lambda _: b'{"id":"a","text":"b","m":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    ),
    "a number of 400,000 digits": ("jsonl", lambda _: b'{"id":"a","text":"b","m":' + b"9" * 400_000 + b"}\n"),
    "a bundle of terabytes": ("bundle", lambda _: bundle_files.header("manifest.json", 1 << 43) + bytes(2_048)),
    "a bundle that is an archive": ("bundle", lambda _: bundle_files.zip_of_zeros()),
}


@pytest.mark.parametrize(
    "promise",
    [pytest.param(one, marks=pytest.mark.slow) if kind.endswith(".gz") else one for one, (kind, _) in PROMISES.items()],
)
def test_a_file_that_promises_more_than_it_holds_takes_no_memory(
    reader: ReaderProcess, folder: Path, promise: str
) -> None:
    kind, change = PROMISES[promise]
    seed = folder / NAMES.get(kind, "")
    result, said = reader.read(kind, change(seed.read_bytes() if seed.is_file() else b""))
    assert result not in ("raw", "ended"), said


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_many_changed_files_are_read_or_refused(reader: ReaderProcess, folder: Path, kind: str) -> None:
    counts = fuzz(reader, kind, strategy(kind, (folder / NAMES[kind]).read_bytes()), _MANY)
    print(f"{kind}: {dict(counts)}")


@pytest.mark.slow
def test_many_changed_bundles_whose_digests_are_right_again_are_read_or_refused(
    reader: ReaderProcess, folder: Path
) -> None:
    members = bundle_files.members(folder / NAMES["bundle"])
    print(f"sealed: {dict(fuzz(reader, 'bundle', changed_bundle(members), _MANY))}")
