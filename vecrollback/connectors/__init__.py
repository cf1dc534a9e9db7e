"""Vectors that already exist somewhere, opened for reading only.

==========================================================  ===========================================================
`vectors.npy`, with `--texts rows.jsonl`                    a NumPy array (rows, dimension); rows in order, `id`, `text`
`faiss:FILE`, with `--texts rows.jsonl`                     an index that gives its vectors back
`parquet:FILE`, `arrow:FILE`                                a column of lists
`lancedb:PATH#table`                                        a LanceDB table
`duckdb:FILE#table`, `sqlite:FILE#table`                    a table or view of DuckDB, of SQLite (sqlite-vec too)
`jsonl:FILE`, `json:FILE`, `csv:FILE`                       a list of numbers in each row; exports, bulk requests
`vectors.npz`, `.safetensors`, `.pt`                        an array among others
`faiss:FOLDER`, `llama-index:FOLDER`, `haystack:FILE`       what LangChain, LlamaIndex, Haystack save
`usearch:FILE`, `hnswlib:FILE`, with `--texts rows.jsonl`   an index of USearch, of hnswlib
`annoy:FILE#DIMENSION`, with `--texts rows.jsonl`           an index of Annoy
`milvus:FILE.db#collection`, `milvus:http://...`            a Milvus collection
`elasticsearch:http://...#index`, `opensearch:http://...`   an index with dense vectors
`postgresql://user@host/database#table`                     pgvector: `vector`, `halfvec`, or an array of floats
`chroma:PATH#collection`, `chroma:http://...#collection`    a Chroma collection
`qdrant:PATH#collection`, `qdrant:http://...#collection`    a Qdrant collection
==========================================================  ===========================================================

Files ending in .npy, .parquet, .arrow, .feather or .faiss need no prefix. Each system is one module here, passes
`vecrollback.testing.ConnectorConformance`, and is found by the prefix of a place or because it claims the place.

Further `NAME:` systems come from installed packages: an entry point of the group `vecrollback.connectors` names a
`ConnectorKind`, an object or a class without arguments.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import cast

from vecrollback.connectors.base import (
    ColumnNames,
    Connector,
    ConnectorKind,
    OpenOptions,
    Part,
    Record,
    without_password,
)
from vecrollback.connectors.translated import Translated, translated
from vecrollback.errors import UsageError
from vecrollback.storage.installed import entry_points_of

__all__ = [
    "ColumnNames",
    "Connector",
    "ConnectorKind",
    "OpenOptions",
    "Part",
    "Record",
    "names_place",
    "open_connector",
]

_GROUP = "vecrollback.connectors"
_BUILT_IN = {
    "numpy": "numpy_file:NumpyKind",
    "faiss": "faiss_file:FaissConnectorKind",
    "parquet": "parquet:ParquetKind",
    "arrow": "arrow_ipc:ArrowKind",
    "lancedb": "lancedb:LanceConnectorKind",
    "postgresql": "pgvector:PgvectorKind",
    "chroma": "chroma:ChromaKind",
    "qdrant": "qdrant:QdrantKind",
    "duckdb": "duckdb_file:DuckdbKind",
    "jsonl": "json_lines:JsonLinesKind",
    "langchain-faiss": "faiss_file:LangchainFaissKind",
    "sqlite": "sqlite_file:SqliteKind",
    "npz": "tensor_file:TensorKind",
    "safetensors": "tensor_file:TensorKind",
    "pt": "tensor_file:TensorKind",
    "csv": "csv_file:CsvKind",
    "json": "application_json:JsonKind",
    "llama-index": "llama_index:LlamaIndexKind",
    "haystack": "application_json:HaystackKind",
    "hnswlib": "hnswlib_file:HnswlibKind",
    "usearch": "usearch_file:UsearchKind",
    "annoy": "annoy_file:AnnoyKind",
    "milvus": "milvus:MilvusKind",
    "elasticsearch": "elasticsearch:ElasticsearchKind",
    "opensearch": "elasticsearch:OpensearchKind",
}


def open_connector(
    place: str, *, texts: Path | None = None, vector: str | None = None, texts_only: bool = False
) -> Connector:
    """Open what a place names, for reading only.

    Args:
        place: One of the forms above, or of a system that an installed package brings.
        texts: The file of rows beside a file of vectors alone.
        vector: The field that holds the vectors, where a place has several.
        texts_only: No vector will be asked for, so what holds them may be damaged.

    Returns:
        The rows of the place. Close it.

    Raises:
        UsageError: Nothing is there, or no system claims the place; it says what is there instead.
        MissingDependencyError: The package that reads such a place is not installed.
        CorruptArtifactError: The place is damaged; so do its reads.

    Example:
        >>> import numpy as np
        >>> from tempfile import mkdtemp
        >>> place = mkdtemp() + "/vectors.npy"
        >>> np.save(place, np.eye(3, dtype=np.float32))
        >>> connector = open_connector(place)
        >>> connector.count, connector.dimension, connector.take(np.array([2]), ()).vectors.tolist()
        (3, 3, [[0.0, 0.0, 1.0]])
        >>> connector.close()
    """
    kind = _kind(place)
    if texts is not None and not kind.texts_beside:
        raise UsageError(
            f"{without_password(place)} holds its own texts", hint="--texts belongs to vectors.npy and faiss:FILE"
        )
    with translated(place):
        return Translated(kind.open(place, OpenOptions(texts, vector, texts_only)))


def names_place(text: str) -> bool:
    """Whether a text names a place by the prefix of its system or by a scheme, and so is no path of a file."""
    prefix, colon, _ = text.partition(":")
    return bool(colon) and ("://" in text or prefix in _BUILT_IN or prefix in entry_points_of(_GROUP))


def _kind(place: str) -> ConnectorKind:
    prefix, colon, _ = place.partition(":")
    if colon and prefix in _BUILT_IN:
        return _built_in(prefix)
    others = {name: point for name, point in entry_points_of(_GROUP).items() if name not in _BUILT_IN}
    if colon and prefix in others:
        return _third_party(others[prefix])
    # Without a prefix: the first kind that knows the place by its ending or its scheme.
    for kind in _kinds(others):
        if kind.claims(place):
            return kind
    forms = ", ".join(kind.form for kind in _kinds(others))
    raise UsageError(f"{without_password(place)} names no place that vectors can be read from", hint=f"give {forms}")


def _kinds(others: dict[str, EntryPoint]) -> Iterator[ConnectorKind]:
    yield from map(_built_in, _BUILT_IN)
    yield from map(_third_party, others.values())


def _built_in(name: str) -> ConnectorKind:
    # By name and not through the entry points, so that a source tree that was never installed works too.
    module, _, kind = _BUILT_IN[name].partition(":")
    return cast(ConnectorKind, getattr(importlib.import_module(f"{__name__}.{module}"), kind)())


def _third_party(point: EntryPoint) -> ConnectorKind:
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"the connector {point.name!r} ({point.value}) cannot be loaded: {error}",
            hint="repair or uninstall the package that provides it",
        ) from error
    return cast(ConnectorKind, kind() if isinstance(kind, type) else kind)
