"""What LlamaIndex's `StorageContext.persist` wrote: vectors in JSON or in an index of FAISS, documents beside them.

llama-index:FOLDER    default__vector_store.json, docstore.json, index_store.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vecrollback.connectors.application_json import read_json
from vecrollback.connectors.base import Connector, OpenOptions, Record, file_of, named
from vecrollback.connectors.faiss_documents import FaissDocuments
from vecrollback.connectors.listed import ListedRows
from vecrollback.errors import UsageError

_STORE = "vector_store.json"
_FIELDS = ("id", "text", "metadata", "_node_content")


class LlamaIndexKind:
    """`llama-index:FOLDER`, with `#NAMESPACE` where it is not the default one."""

    form, texts_beside = "llama-index:FOLDER", False

    def claims(self, _place: str) -> bool:
        return False

    def open(self, place: str, _options: OpenOptions) -> Connector:
        where, _, namespace = place.partition("#")
        folder = file_of(where, "llama-index")
        shown = f"llama-index:{folder}"
        stores = {path.name.removesuffix(f"__{_STORE}"): path for path in sorted(folder.glob(f"*__{_STORE}"))}
        if (folder / _STORE).is_file():
            stores.setdefault("default", folder / _STORE)
        if (path := stores.get(namespace or "default")) is None:
            raise UsageError(f"{shown}: there is no such vector store", hint=f"namespaces: {named(list(stores))}")
        documents: dict[str, Any] = {}
        if (folder / "docstore.json").is_file():
            documents = read_json(folder / "docstore.json", shown).get("docstore/data") or {}
        if _is_faiss(path):
            return _faiss(shown, path, documents)
        content = read_json(path, shown)
        vectors: dict[str, Any] = content.get("embedding_dict") or {}
        metadata = content.get("metadata_dict") or {}
        records = [_node(id_, documents.get(id_), metadata.get(id_)) for id_ in vectors]
        return ListedRows(shown, records, list(vectors.values()), metric="cosine")


def _node(id_: str, document: Any, metadata: Any) -> dict[str, Any]:
    """A node as rows of LlamaIndex's other stores have it; without its document what the vector store says of it."""
    node = document.get("__data__") if isinstance(document, Mapping) else None
    if isinstance(node, str):
        node = json.loads(node)
    if not isinstance(node, Mapping):
        return {"id": id_, "metadata": metadata or {}}
    resource = node.get("text_resource")
    text = node.get("text") or (resource.get("text") if isinstance(resource, Mapping) else None) or None
    return {"id": id_, "text": text, "metadata": node.get("metadata") or {}, "_node_content": json.dumps(node)}


def _is_faiss(path: Path) -> bool:
    """Whether the file is an index of FAISS, which LlamaIndex gives the name of a JSON file."""
    with path.open("rb") as file:
        return file.read(2) == b"Ix"


def _faiss(shown: str, path: Path, documents: Mapping[str, Any]) -> Connector:
    ids = _ids_of(path.parent, shown)

    def record(row: int) -> Record:
        id_ = ids.get(str(row), str(row))
        return _node(id_, documents.get(id_), None)

    return FaissDocuments(shown, path, _FIELDS, record)


def _ids_of(folder: Path, shown: str) -> dict[str, str]:
    """From the number that FAISS gives a vector to the id of its node: the map of the store itself, or of the index."""
    if (folder / "id_map.json").is_file():
        return dict(read_json(folder / "id_map.json", shown).get("faiss_id_to_node_id_map") or {})
    if not (folder / "index_store.json").is_file():
        return {}
    ids: dict[str, str] = {}
    for one in (read_json(folder / "index_store.json", shown).get("index_store/data") or {}).values():
        data = one.get("__data__")
        index = json.loads(data) if isinstance(data, str) else data
        ids |= index.get("nodes_dict") or {} if isinstance(index, Mapping) else {}
    return ids
