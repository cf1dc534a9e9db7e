"""A sound file of each kind that may come from elsewhere, for tests that change bytes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from vecrollback import Document, connect
from vecrollback.indexes import build_index

SPEC, METRIC = "HNSW8,SQ8", "l2"
_ROWS, _DIMENSION = 60, 8
NAMES = {
    "npy": "vectors.npy",
    "arrow": "vectors.arrow",
    "parquet": "vectors.parquet",
    "faiss": "vectors.faiss",
    "jsonl": "rows.jsonl",
    "csv": "rows.csv",
    "json": "rows.json",
    "documents.parquet": "documents.parquet",
    "index": "own.index",
    "ids": "own.ids.arrow",
    "manifest": "manifest.json",
    "bundle": "v1.bundle",
    "history": "history.json",
    "backup": "backup.vrb",
}
JSON_KINDS = ("json", "manifest", "history")


def make(folder: Path) -> None:
    """Write one of each."""
    import faiss

    vectors = np.random.default_rng(3).standard_normal((_ROWS, _DIMENSION)).astype(np.float32)
    np.save(folder / NAMES["npy"], vectors)
    rows = [{"id": f"d{n}", "text": f"note {n} on boats", "year": 2000 + n, "tags": ["a", "b"]} for n in range(_ROWS)]
    table = pa.Table.from_pylist([row | {"vector": vectors[n].tolist()} for n, row in enumerate(rows)])
    with pa.OSFile(str(folder / NAMES["arrow"]), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    pq.write_table(table, folder / NAMES["parquet"])
    pq.write_table(table.drop_columns(["vector"]), folder / NAMES["documents.parquet"])
    plain = faiss.IndexFlatL2(_DIMENSION)
    plain.add(vectors)
    faiss.write_index(plain, str(folder / NAMES["faiss"]))
    (folder / NAMES["jsonl"]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / NAMES["json"]).write_text(json.dumps(rows))
    lines = (f'{row["id"]},"{row["text"]}",{row["year"]}\n' for row in rows)
    (folder / NAMES["csv"]).write_text("id,text,year\n" + "".join(lines))
    build_index(SPEC, vectors, METRIC, folder / NAMES["index"])
    with connect(folder / "store", create=True) as store:
        store.upsert([Document(row["id"], row["text"], {"year": row["year"]}) for row in rows])
        store.promote(store.reembed("hash:16", name="v1").wait(), reason="first")
        [snapshot] = store.snapshots("v1")
        store.export_snapshot(snapshot.ref, folder / NAMES["bundle"])
        store.export_history(folder / NAMES["history"])
        store.backups.create(folder / NAMES["backup"])
        artifacts = store.root / "artifacts"
        (folder / NAMES["manifest"]).write_bytes((artifacts / snapshot.manifest).read_bytes())
        [ids] = artifacts.glob("*.ids.arrow")
        (folder / NAMES["ids"]).write_bytes(ids.read_bytes())
