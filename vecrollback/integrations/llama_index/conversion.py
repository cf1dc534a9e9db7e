"""Between LlamaIndex's nodes and the store's documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    TextNode,
)
from llama_index.core.schema import Document as Page

from vecrollback.integrations.backend import origin_facts
from vecrollback.records import Document, Hit, Json, Result

REF = "ref_doc_id"
"""The metadata key for the id of the document that a node was cut from."""
FACTS = "vecrollback"
_CONTENT, _KIND = "_node_content", "_node_type"  # no filter reads a key that begins with `_`
_MEDIA = ("audio_resource", "image_resource", "text_resource", "video_resource")


class _Found:
    """A node with what the store says of it, which is no part of it: found in two ways, it is still the same node.

    LlamaIndex fuses the lists of several retrievers by the hash of the nodes, and that is by their metadata, too.
    """

    @property
    def hash(self: Any) -> str:
        node = self.model_copy(update={"metadata": {**self.metadata}})
        node.metadata.pop(FACTS, None)
        own: str = super(_Found, node).hash  # type: ignore[misc]
        return own

    def __repr_name__(self: Any) -> str:
        name: str = self.class_name()
        return name


class _FoundText(_Found, TextNode):
    pass


class _FoundIndex(_Found, IndexNode):
    pass


class _FoundImage(_Found, ImageNode):
    pass


class _FoundNode(_Found, Node):
    pass


class _FoundPage(_Found, Page):
    pass


class _FoundImagePage(_Found, ImageDocument):
    pass


_FOUND: dict[type[BaseNode], type[BaseNode]] = {
    TextNode: _FoundText,
    IndexNode: _FoundIndex,
    ImageNode: _FoundImage,
    Node: _FoundNode,
    Page: _FoundPage,
    ImageDocument: _FoundImagePage,
}
_KINDS = {kind.class_name(): kind for kind in _FOUND}


def to_store(node: BaseNode) -> Document:
    """A node as the store keeps it.

    The model gets what LlamaIndex gives to one: the node's text with those keys of its metadata that are not excluded,
    in its template. It is kept as the embedded text, so it can be embedded again, by any pair, at any time. The node
    itself is in the metadata, and comes back whole.
    """
    text, for_model = node.get_content(), node.get_content(metadata_mode=MetadataMode.EMBED)
    content = node.model_dump(mode="json", exclude={"embedding"})
    content.pop("text", None)  # it is the document's own
    for name in _MEDIA:
        media = getattr(node, name, None)
        if isinstance(media, MediaResource) and media.data is not None:  # LlamaIndex leaves it out
            content[name]["data"] = media.data.decode()
    metadata: dict[str, Json] = {**content["metadata"], _KIND: node.class_name()}
    if node.ref_doc_id:
        metadata[REF] = node.ref_doc_id
    metadata[_CONTENT] = json.dumps(content, ensure_ascii=False)
    return Document(node.node_id, text, metadata, embedded_text=None if for_model == text else for_model)


def from_store(document: Document) -> BaseNode:
    """The node that was stored, whole; a node of the text alone, where something else wrote the document."""
    return _restored(document.id, document.text, document.metadata)


def from_hit(hit: Hit, result: Result) -> BaseNode:
    """What was found. `metadata["vecrollback"]` says which pair found it; no prompt and no model sees that key."""
    return _restored(hit.id, hit.text, hit.metadata, origin_facts(hit, result))


def _restored(id_: str, text: str, metadata: Mapping[str, Json], facts: Mapping[str, Json] | None = None) -> BaseNode:
    content = metadata.get(_CONTENT)
    kind: type[BaseNode] = TextNode
    if isinstance(content, str):
        values: dict[str, Any] = json.loads(content)
        kind = _kind(metadata.get(_KIND, ""), values)
        if issubclass(kind, TextNode):
            values["text"] = text
    else:
        values = {"id_": id_, "text": text, "metadata": dict(metadata)}
    if facts is not None:  # before the node is made: it validates itself anew with every assignment
        values["metadata"] = {**values["metadata"], FACTS: facts}
        for hidden in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys"):
            values[hidden] = [*values.get(hidden, ()), FACTS]
        kind = _FOUND[kind]
    return kind.model_validate(values)


def _kind(name: str, values: Mapping[str, Any]) -> type[BaseNode]:
    """The class of a node that was stored; of a document with nothing but a text the one whose text everybody reads."""
    kind = _KINDS.get(name, TextNode)
    media = any(values.get(one) for one in _MEDIA if one != "text_resource")
    return TextNode if kind is Page and not media else kind
