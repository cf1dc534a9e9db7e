"""Is a verdict worth something, whatever the vectors are kept in?

Aims: no storage with another model's vectors passes, none of the model's own alone fails. Each kind of storage holds
the same texts with 0, 1, 10 and 100 of 100 vectors another model's. `doctor` and `adopt` look at it as users would, by
`examine_source` and `Store.adopt`; `purity` is the search behind that command, over what the storage gives back.
`unknown` is an answer: the storage is too coarse, and says so. "pass, with a warning" of foreign vectors that were
named is a false pass all the same. An `adopt` that took the own vectors over and embedded the foreign ones again
passes; an oracle counts the foreign vectors in the pair that it made.

Texts are embedded once (`verdict_models`), so that thousands of examinations are a matter of arithmetic. What was
judged is kept in the folder of `--keep`: a run that was cut off goes on. `--table` prints what is there for README.md.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import faiss
import numpy as np
import verdict_models

import vecrollback
from tests.support import postgres
from tests.support.postgres import PostgresServer
from vecrollback.embedders import open_embedder
from vecrollback.embedders.probes import floor_for
from vecrollback.errors import FingerprintMismatchError, VecrollbackError
from vecrollback.pairs.vectors import newest
from vecrollback.quality.doctor import ExaminationRequest, ForeignIndex, examine_source
from vecrollback.records.arrays import FloatArray, cosines

_FAISS = {
    "Flat": "Flat",
    "IVF": "IVF16,Flat",
    "HNSW": "HNSW32",
    "SQ8": "SQ8",
    "SQ6": "SQ6",
    "PQ": "PQ48",
    "OPQ": "OPQ48,PQ48",
    "PQ+refine": "PQ48,RFlat",
    "PCA": "PCA128,Flat",
    "RaBitQ": "RaBitQ",
    "LSH": "LSH",
}
_KINDS = (*_FAISS, "halfvec", "int8", "int8 ranges", "binary")
_SHARES = (0.0, 0.01, 0.1, 1.0)
_DOORS = ("doctor", "purity", "adopt")
_PAIRS = {"fine-tune": ("minilm", "sre"), "L3": ("minilm", "l3"), "LoRA": ("minilm", "lora_strong")}
_SMALL = {"hash": ("hash:96?seed=1", "hash:96?seed=2")}
_BOUND = 0.01


@dataclass(frozen=True, slots=True)
class Cell:
    """One storage to judge. `share`: of its vectors, another model's."""

    pair: str
    kind: str
    share: float
    seed: int


class Judge:
    """Builds storages in a folder and lets the doors look at them."""

    def __init__(self, folder: Path, texts: list[str], models: tuple[str, str], server: PostgresServer | None) -> None:
        self._folder, self._texts, self._server = folder, texts, server
        self._own_spec, other = (name if ":" in name else f"verdict_models:{name}" for name in models)
        self._own = open_embedder(self._own_spec)
        self._vectors, self._others = (open_embedder(spec).embed_documents(texts) for spec in (self._own_spec, other))
        self._rows = folder / "rows.jsonl"
        self._rows.write_text("".join(json.dumps({"id": str(n), "text": t}) + "\n" for n, t in enumerate(texts)))

    def verdicts(self, cell: Cell, doors: Sequence[str]) -> dict[str, str]:
        """What each door says: pass, fail or unknown; of `adopt` also "wrong" when a foreign vector got in."""
        random = np.random.default_rng(cell.seed)
        order = random.permutation(len(self._texts))
        self._at = {str(n): int(row) for n, row in enumerate(order)}
        rows = [{"id": str(n), "text": self._texts[row]} for n, row in enumerate(order)]
        self._rows.write_text("".join(json.dumps(row) + "\n" for row in rows))
        vectors = self._vectors[order].copy()
        foreign = random.choice(len(vectors), round(cell.share * len(vectors)), replace=False)
        vectors[foreign] = self._others[order][foreign]
        place, texts = self._put(cell.kind, vectors, [str(row["text"]) for row in rows])
        verdicts = {}
        if "doctor" in doors or "purity" in doors:
            verdicts["doctor"], verdicts["purity"] = self._doctor(place, texts, cell.seed)
        if "adopt" in doors:
            verdicts["adopt"] = self._adopt(place, texts, cell.seed)
        return verdicts

    def _put(self, kind: str, vectors: FloatArray, texts: list[str]) -> tuple[str, Path | None]:
        if kind == "halfvec":
            assert self._server
            return self._table(vectors, texts), None
        if kind in _FAISS:
            metric = faiss.METRIC_L2 if kind == "LSH" else faiss.METRIC_INNER_PRODUCT  # it knows no other
            index: Any = faiss.index_factory(vectors.shape[1], _FAISS[kind], metric)
            _train_quickly(index)
            index.train(vectors)
            index.add(vectors)
            faiss.write_index(index, str(self._folder / "index.faiss"))
            return f"faiss:{self._folder / 'index.faiss'}", self._rows
        np.save(self._folder / "vectors.npy", _quantised(kind, vectors))
        return str(self._folder / "vectors.npy"), self._rows

    def _table(self, vectors: FloatArray, texts: list[str]) -> str:
        assert self._server
        with self._server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
            cursor.execute("DROP TABLE IF EXISTS verdicts")
            cursor.execute(f"CREATE TABLE verdicts (id text, text text, embedding halfvec({vectors.shape[1]}))")
            with cursor.copy("COPY verdicts FROM STDIN") as copy:
                for number, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
                    copy.write_row((str(number), text, str(vector.tolist())))
        return f"postgresql://postgres@/postgres?host={self._server.folder}#verdicts"

    def _doctor(self, place: str, texts: Path | None, seed: int) -> tuple[str, str]:
        """What the doctor says, and the search behind `purity`, which it runs over all vectors."""
        request = ExaminationRequest(model=self._own_spec, seed=seed, bound=_BOUND)
        with ForeignIndex(place, texts=texts) as source:
            examination = examine_source(source, request)
        assert examination.audit
        told = examination.verdict == "pass" and examination.audit.rows
        return "pass, with a warning" if told else examination.verdict, examination.audit.verdict

    def _adopt(self, place: str, texts: Path | None, seed: int) -> str:
        root = self._folder / "store"
        shutil.rmtree(root, ignore_errors=True)
        with vecrollback.connect(root, create=True) as store:
            try:
                result = store.adopt(place, model=self._own_spec, name="v1", texts=texts, seed=seed, bound=_BOUND)
            except FingerprintMismatchError:
                return "fail"
            except VecrollbackError:
                return "unknown"
            pair = store.pair("v1")
            vectors = store.resources.vectors_of(pair)
            keys = vectors.keys(pair.vectors_version)
            rows = newest(keys, {})
            own = self._vectors[[self._at[id_] for id_ in keys["doc_id"].take(rows).to_pylist()]]
            if not (cosines(own, vectors.vectors(pair.vectors_version)[rows]) >= floor_for(self._own)).all():
                return "wrong"
            assert result.report
            return "pass, embedded again" if result.foreign else result.report.verdict


def _train_quickly(index: Any) -> None:
    """Leave out what only orders the codes of a PQ, and most rounds of an OPQ's: they take nearly all of the time."""
    if isinstance(index, faiss.IndexPreTransform):
        first = faiss.downcast_VectorTransform(index.chain.at(0))  # type: ignore[attr-defined]  # a list, say its stubs
        if isinstance(first, faiss.OPQMatrix):
            first.niter, first.niter_pq_0 = 2, 4
    inner = faiss.downcast_index(getattr(index, "base_index", None) or getattr(index, "index", None) or index)
    if isinstance(inner, faiss.IndexPQ):
        inner.do_polysemous_training = False  # type: ignore[attr-defined]  # not in its stubs
        inner.pq.cp.niter = 8


def _quantised(kind: str, vectors: FloatArray) -> Any:
    if kind == "int8":
        return np.rint(vectors / np.abs(vectors).max() * 127).astype(np.int8)
    if kind == "binary":
        return np.where(vectors > 0, 1, -1).astype(np.int8)
    # A range for each column, as sentence-transformers' `quantize_embeddings` has it.
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    return np.clip((vectors - low) / (high - low) * 255 - 128, -128, 127).astype(np.int8)


def main() -> None:
    options = common.parser("verdicts")
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--first-seed", type=int, default=0, help="for a second process, with a folder of its own")
    options.add_argument("--count", type=int, default=600, help="vectors in each storage")
    options.add_argument("--doors", nargs="+", choices=_DOORS, default=list(_DOORS))
    options.add_argument("--kinds", nargs="+", choices=_KINDS, default=list(_KINDS))
    options.add_argument("--pairs", nargs="+", choices=list(_PAIRS), default=list(_PAIRS))
    options.add_argument("--table", action="store_true", help="print what the folder of --keep has, and judge nothing")
    asked = options.parse_args()
    started = time.monotonic()
    with common.workspace(asked.keep) as folder:
        results = Results(folder / "verdicts.jsonl")
        if not asked.table:
            if asked.small:
                asked.count, asked.seeds, asked.kinds, asked.pairs = (
                    400,
                    1,
                    ["Flat", "SQ8", "PQ+refine", "RaBitQ"],
                    ["hash"],
                )
            os.environ[verdict_models.FOLDER] = str(folder)
            _judge(folder, results, asked)
        print(results.table())
        told = results.told()
    common.conclude(
        "verdicts",
        {
            "judged": sum(sum(one.values()) for one in told.values()),
            **_wrong(told),
            "seconds": round(time.monotonic() - started, 1),
        },
        small=asked.small,
        corpus=common.source(),
    )


def _judge(folder: Path, results: Results, asked: Any) -> None:
    texts = list(dict.fromkeys(row.whole[:400] for row in common.rows(2 * asked.count)))[: asked.count]
    with _server("halfvec" in asked.kinds) as server:
        judges = {pair: Judge(folder, texts, {**_PAIRS, **_SMALL}[pair], server) for pair in asked.pairs}
        seeds = range(asked.first_seed, asked.seeds)
        for seed, pair, kind, share in itertools.product(seeds, judges, asked.kinds, _SHARES):
            cell = Cell(pair, kind, share, seed)
            if doors := [door for door in asked.doors if not results.has(cell, door)]:
                results.add(cell, judges[pair].verdicts(cell, doors))


@contextlib.contextmanager
def _server(wanted: bool) -> Iterator[PostgresServer | None]:
    if not wanted:
        yield None
        return
    with postgres.running() as server:
        yield server


class Results:
    """What was told of each cell, in a file to which every judgement is added."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._verdicts: dict[tuple[Cell, str], str] = {}
        if file.exists():
            for line in file.read_text().splitlines():
                row = json.loads(line)
                self._verdicts[Cell(row["pair"], row["kind"], row["share"], row["seed"]), row["door"]] = row["verdict"]

    def has(self, cell: Cell, door: str) -> bool:
        return (cell, door) in self._verdicts

    def add(self, cell: Cell, verdicts: dict[str, str]) -> None:
        with self._file.open("a") as stream:
            for door, verdict in verdicts.items():
                self._verdicts[cell, door] = verdict
                row = {"pair": cell.pair, "kind": cell.kind, "share": cell.share, "seed": cell.seed}
                stream.write(json.dumps({**row, "door": door, "verdict": verdict}) + "\n")
        print(f"{cell.pair:10} {cell.kind:12} {cell.share:5.0%} seed {cell.seed} {verdicts}", flush=True)

    def told(self) -> dict[tuple[str, str, float], Counter[str]]:
        """How often each verdict, by door, kind and share."""
        counts: dict[tuple[str, str, float], Counter[str]] = {}
        for (cell, door), verdict in self._verdicts.items():
            counts.setdefault((door, cell.kind, cell.share), Counter())[verdict] += 1
        return counts

    def table(self) -> str:
        """Rows of Markdown: kinds of storage; columns: doors and shares; how often each verdict."""
        told = self.told()
        doors = [door for door in _DOORS if any(key[0] == door for key in told)]
        head = [f"{door} {share:.0%}" for door in doors for share in _SHARES]
        lines = ["| storage | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
        for kind in _KINDS:
            cells = [told.get((door, kind, share)) for door in doors for share in _SHARES]
            if any(cells):
                lines.append(f"| {kind} | " + " | ".join(map(_short, cells)) + " |")
        return "\n".join(lines)


def _short(told: Counter[str] | None) -> str:
    """`30 fail`, or `28 fail, 2 unknown`."""
    return ", ".join(f"{count} {verdict}" for verdict, count in told.most_common()) if told else ""


def _wrong(told: dict[tuple[str, str, float], Counter[str]]) -> dict[str, int]:
    """False passes and false alarms by door. An `adopt` that embedded the foreign vectors again was right."""
    wrong = dict.fromkeys((f"{door} false {kind}" for door in _DOORS for kind in ("pass", "alarm")), 0)
    for (door, _, share), counts in told.items():
        if share:
            wrong[f"{door} false pass"] += counts["pass"] + counts["pass, with a warning"] + counts["wrong"]
        else:
            wrong[f"{door} false alarm"] += counts["fail"] + counts["wrong"] + counts["pass, embedded again"]
    return wrong


if __name__ == "__main__":
    main()
