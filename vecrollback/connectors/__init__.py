"""Vectors that already exist somewhere, opened for reading only.

==========================================================  ===========================================================
`vectors.npy`, with `--texts rows.jsonl`                    a NumPy array (rows, dimension); rows in order, `id`, `text`
`faiss:FILE`, with `--texts rows.jsonl`                     an index that gives its vectors back
`parquet:FILE`, `arrow:FILE`                                a column of lists
`lancedb:PATH#table`                                        a LanceDB table
`postgresql://user@host/database#table`                     pgvector: `vector`, `halfvec`, or an array of floats
`chroma:PATH#collection`, `chroma:http://...#collection`    a Chroma collection
`qdrant:PATH#collection`, `qdrant:http://...#collection`    a Qdrant collection
==========================================================  ===========================================================

Files ending in .npy, .parquet, .arrow, .feather or .faiss need no prefix. Each kind is one module here and passes
`vecrollback/testing/connector_suite.py`.
"""

from __future__ import annotations

from pathlib import Path

from vecrollback.connectors.base import ColumnNames, Connector, Part, Record
from vecrollback.errors import UsageError

__all__ = ["FORMS", "ColumnNames", "Connector", "Part", "Record", "open_reader"]

FORMS = (
    "vectors.npy, faiss:FILE, parquet:FILE, arrow:FILE, lancedb:PATH#table, postgresql://...#table, "
    "chroma:PATH#collection, qdrant:PATH#collection or qdrant:http://...#collection"
)
_SUFFIXES = {
    ".npy": "numpy",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".faiss": "faiss",
}
_TABLES = {"lancedb": "table", "chroma": "collection", "qdrant": "collection", "postgresql": "table"}
_WITH_TEXTS = ("numpy", "faiss")
_KINDS = (*_TABLES, *_WITH_TEXTS, "parquet", "arrow")


def open_reader(place: str, *, texts: Path | None = None, vector: str | None = None) -> Connector:
    """Open the source that `place` names. `texts`: the rows beside a file of vectors alone.

    Raises UsageError that says what is there instead, MissingDependencyError for a kind whose package is absent.
    """
    kind, where = _kind(place)
    if texts is not None and kind not in _WITH_TEXTS:
        raise UsageError(f"{place} holds its own texts", hint="--texts belongs to vectors.npy and faiss:FILE")
    if kind in _TABLES:
        where, hash_, table = where.rpartition("#")
        if not hash_ or not table or not where:
            what = _TABLES[kind]
            raise UsageError(f"{_shown(place)} names no {what}", hint=f"write it after a #: {kind}:...#{what}")
        return _open_table(kind, where, table, vector)
    return _open_file(kind, Path(where).expanduser(), texts, vector)


def _kind(place: str) -> tuple[str, str]:
    prefix, colon, rest = place.partition(":")
    if prefix in ("postgresql", "postgres", "postgresql+psycopg") and rest.startswith("//"):
        return "postgresql", f"postgresql:{rest}"
    if colon and prefix in _KINDS:
        return prefix, rest
    if kind := _SUFFIXES.get(Path(place).suffix.lower()):
        return kind, place
    raise UsageError(f"{_shown(place)} names no source of vectors", hint=f"give {FORMS}")


def _open_table(kind: str, where: str, table: str, vector: str | None) -> Connector:
    if kind == "lancedb":
        from vecrollback.connectors.arrow_rows import ArrowConnector
        from vecrollback.connectors.lancedb import LanceColumns

        return ArrowConnector(LanceColumns(Path(where).expanduser(), table), vector)
    if kind == "postgresql":
        from vecrollback.connectors.pgvector import PgvectorConnector

        return PgvectorConnector(where, table, vector)
    where = where if where.startswith(("http://", "https://")) else str(Path(where).expanduser())
    if kind == "chroma":
        from vecrollback.connectors.chroma import ChromaConnector

        return ChromaConnector(where, table)
    from vecrollback.connectors.qdrant import QdrantConnector

    return QdrantConnector(where, table, vector)


def _open_file(kind: str, path: Path, texts: Path | None, vector: str | None) -> Connector:
    if kind in _WITH_TEXTS:
        from vecrollback.connectors.sidecar import WithTexts

        if kind == "faiss":
            from vecrollback.connectors.faiss_file import FaissConnector

            return WithTexts(FaissConnector(path), texts)
        from vecrollback.connectors.numpy_file import NumpyConnector

        return WithTexts(NumpyConnector(path), texts)
    from vecrollback.connectors.arrow_rows import ArrowConnector

    if kind == "parquet":
        from vecrollback.connectors.parquet import ParquetColumns

        return ArrowConnector(ParquetColumns(path), vector)
    from vecrollback.connectors.arrow_ipc import IpcColumns

    return ArrowConnector(IpcColumns(path), vector)


def _shown(place: str) -> str:
    """A place without what may be a password."""
    head, at, tail = place.rpartition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at and "://" in head else place
