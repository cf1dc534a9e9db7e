"""What counts as a document, and the digests that tell two of them apart."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import blake2b

from vecrollback.errors import BadDocumentError
from vecrollback.records import Document, Json, document_key, key_parts

MAX_ID_BYTES = 512
MAX_NAMESPACE_BYTES = 256
MAX_TEXT_BYTES = 64 << 20
MAX_METADATA_BYTES = 1 << 20
MAX_METADATA_DEPTH = 64
"""Far above real metadata and far below the recursion limit of every JSON parser that reads it back."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DIGEST_BYTES = 16
_SHOWN = 60


def make_document(id: str, text: str, metadata: Mapping[str, Json] | None = None) -> Document:
    """Build a document that can be stored; raises BadDocumentError."""
    return validate(Document(id, text, {} if metadata is None else metadata))


def validate(document: Document) -> Document:
    """Return the document, its metadata copied to plain JSON values, or raise BadDocumentError.

    The id is a non-blank string without control characters, the text a string without NUL (empty is stored, and never
    found by search), the metadata a JSON object with finite numbers. All three are valid Unicode and within the limits
    above. Nothing is trimmed or normalised: what was given is what comes back.
    """
    if not isinstance(document, Document):
        raise BadDocumentError(
            f"a document is a {type(document).__name__}, not a Document",
            hint="Document('tea', 'Green tea is steeped.')",
        )
    validate_id(document.id)
    validate_namespace(document.namespace)
    try:
        _check_string(document.text, "the text", MAX_TEXT_BYTES)
        if document.embedded_text is not None:
            _check_string(document.embedded_text, "the embedded text", MAX_TEXT_BYTES)
        metadata = _plain_metadata(document.metadata)
    except ValueError as error:
        raise BadDocumentError(f"document {shown(document.id)}: {error}") from None
    # What equals the text is no text of its own.
    embedded = None if document.embedded_text == document.text else document.embedded_text
    return Document(document.id, document.text, metadata, document.namespace, embedded)


def validate_batch(documents: Iterable[Document], namespace: str | None = None) -> list[Document]:
    """Return documents that can be stored in one call, or raise BadDocumentError, also for an id given twice.

    `namespace`: that of documents that name none; one that names another is refused.
    """
    validate_namespace(namespace or "")
    if not isinstance(documents, Iterable):
        raise BadDocumentError(f"documents are given as a {type(documents).__name__}", hint="pass them in a list")
    checked: dict[str, Document] = {}
    for document in documents:
        sound = validate(document)
        if namespace and sound.namespace != namespace:
            if sound.namespace:
                raise BadDocumentError(
                    f"document {shown(sound.id)} is of namespace {sound.namespace!r}, the call is for {namespace!r}",
                    hint="send each namespace its own documents",
                )
            sound = replace(sound, namespace=namespace)
        if sound.key in checked:
            raise BadDocumentError(f"id {shown(sound.id)} stands twice in one batch", hint="send each document once")
        checked[sound.key] = sound
    return list(checked.values())


def validate_namespace(namespace: str) -> str:
    """Return the name of a namespace, "" for none, or raise BadDocumentError."""
    try:
        _check_string(namespace, "the namespace", MAX_NAMESPACE_BYTES)
        if namespace and not namespace.strip():
            raise ValueError("the namespace is blank")
        if control := _CONTROL.search(namespace):
            raise ValueError(f"the namespace holds the control character {control[0]!r}")
    except ValueError as error:
        raise BadDocumentError(f"namespace {shown(namespace)}: {error}") from None
    return namespace


def validate_key(key: str) -> str:
    """Return the key of a document, namespace and id in one, or raise BadDocumentError."""
    namespace, id_ = key_parts(key)
    if document_key(validate_id(id_), validate_namespace(namespace)) != key:
        raise BadDocumentError(f"document {shown(key)}: the namespace is blank")
    return key


def validate_id(id: str) -> str:
    """Return the id, or raise BadDocumentError."""
    try:
        _check_string(id, "the id", MAX_ID_BYTES)
        if not id.strip():
            raise ValueError("the id is blank")
        if found := _CONTROL.search(id):
            raise ValueError(f"the id holds the control character {found[0]!r}")
    except ValueError as error:
        raise BadDocumentError(f"document {shown(id)}: {error}") from None
    return id


def content_hash(text: str) -> bytes:
    """Name a text by its content: 16 bytes."""
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def document_digest(document: Document) -> bytes:
    """Name the whole document, all that was put in: 16 bytes."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    parts = [document.key, document.text, canonical_json(document.metadata)]
    if document.embedded_text is not None:
        parts.append(document.embedded_text)
    for part in parts:
        data = part.encode()
        # The length first, or moving a character from the id to the text would keep the digest.
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


def canonical_json(metadata: Mapping[str, Json]) -> str:
    """Write metadata the one way: sorted keys, no spaces, real characters, no NaN (ValueError)."""
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def shown(value: object) -> str:
    """Show a value of any size in an error message, safe to print on every terminal."""
    if not isinstance(value, str):
        return reprlib.repr(value)
    return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}..."


def _check_string(value: object, what: str, limit: int) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{what} is {_type(value)}, not a string")
    if "\0" in value:
        raise ValueError(f"{what} holds a NUL character")
    try:
        # len() first: the exact size costs a copy of the text.
        size = len(value) if len(value) > limit else len(value.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} holds a lone surrogate at character {error.start}, no valid Unicode") from None
    if size > limit:
        raise ValueError(f"{what} is larger than {limit} bytes")


def _plain_metadata(metadata: object) -> dict[str, Json]:
    if not isinstance(metadata, Mapping):
        raise ValueError(f"the metadata is {_type(metadata)}, not a JSON object")
    plain = _plain_object(metadata, "metadata", 1)
    # An integer of thousands of digits raises ValueError here, with a message of its own.
    if len(canonical_json(plain).encode()) > MAX_METADATA_BYTES:
        raise ValueError(f"the metadata is larger than {MAX_METADATA_BYTES} bytes of JSON")
    return plain


def _plain_object(value: Mapping[object, object], path: str, depth: int) -> dict[str, Json]:
    plain = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise ValueError(f"{path} has a key that is {_type(key)}, not a string")
        _check_string(key, f"a key of {path}", MAX_METADATA_BYTES)
        plain[key] = _plain(item, f"{path}[{shown(key)}]", depth + 1)
    return plain


def _plain(value: object, path: str, depth: int) -> Json:
    if depth > MAX_METADATA_DEPTH:
        raise ValueError(f"the metadata is nested more than {MAX_METADATA_DEPTH} deep")
    if isinstance(value, str):
        _check_string(value, path, MAX_METADATA_BYTES)
        return str.__str__(value)
    if isinstance(value, Mapping):
        return _plain_object(value, path, depth)
    if isinstance(value, (list, tuple)):
        return [_plain(item, path, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}, which JSON cannot hold; leave the key out for a missing value")
    for plain in (bool, int, float):
        if isinstance(value, plain):
            return plain(value)
    return None if value is None else _converted(value, path, depth)


def _converted(value: object, path: str, depth: int) -> Json:
    """Dates and times as ISO 8601 strings; scalars of NumPy and pandas as what they hold."""
    if isinstance(value, dt.date | dt.time):  # a datetime is a date
        if str(value) == "NaT":  # of pandas, which calls it a datetime
            raise ValueError(f"{path} is NaT, which JSON cannot hold; leave the key out for a missing value")
        return value.isoformat()
    if type(value).__module__.partition(".")[0] == "numpy" and not getattr(value, "shape", ()):
        plain = value.item()  # type: ignore[attr-defined]
        if type(plain) is not type(value):
            return _plain(plain, path, depth)
    cure = (
        ".tolist()" if hasattr(value, "tolist") else "its .decode()" if isinstance(value, bytes) else "str(...) of it"
    )
    raise ValueError(f"{path} is {_type(value)}, which JSON cannot hold; pass {cure}")


def _type(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
