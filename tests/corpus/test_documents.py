"""What counts as a document: every answer, and what the digests tell apart."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrollback.corpus import documents
from vecrollback.corpus.documents import (
    canonical_json,
    content_hash,
    document_digest,
    make_document,
    validate,
    validate_id,
)
from vecrollback.errors import BadDocumentError
from vecrollback.records import Document

_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_metadata = st.dictionaries(_text, _json, max_size=4)


@pytest.mark.parametrize("id", ["a", " padded ", "é" * 256, "x" * 512, "a/b.md", "日本", "\u202eright-to-left"])
def test_any_printable_id_is_kept_as_it_is(id: str) -> None:
    assert make_document(id, "text").id == id


@pytest.mark.parametrize(
    ("id", "reason"),
    [
        ("", "blank"),
        (" \u2003", "blank"),
        ("x" * 513, "larger than 512 bytes"),
        ("é" * 257, "larger than 512 bytes"),
        ("a\0b", "NUL"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        ("a\x85", "control character"),
        ("a\ud800", "lone surrogate"),
        (7, "an int, not a string"),
        (None, "a NoneType, not a string"),
        (["a"], "a list, not a string"),
    ],
)
def test_bad_id_is_refused_with_its_reason(id: Any, reason: str) -> None:
    with pytest.raises(BadDocumentError, match=reason) as caught:
        validate_id(id)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["", " ", "line\nline\r\n\ttab", "\x01 odd but storable", "x" * 10_000_000])
def test_any_text_is_kept_as_it_is(text: str) -> None:
    assert make_document("a", text).text == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\0b", "text holds a NUL"),
        ("ab\udfff", "text holds a lone surrogate at character 2"),
        (None, "text is a NoneType"),
        (b"bytes", "text is a bytes"),
        (1.5, "text is a float"),
    ],
)
def test_bad_text_is_refused_with_id_and_reason(text: Any, reason: str) -> None:
    with pytest.raises(BadDocumentError, match=f"document 'the-id': the {reason}"):
        make_document("the-id", text)


def test_text_limit_counts_bytes_not_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_TEXT_BYTES", 10)
    assert make_document("a", "é" * 5).text
    with pytest.raises(BadDocumentError, match="larger than 10 bytes"):
        make_document("a", "é" * 6)


def test_text_over_64_mib_is_refused() -> None:
    with pytest.raises(BadDocumentError, match="larger than 67108864 bytes"):
        make_document("a", "x" * ((64 << 20) + 1))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ([], "the metadata is a list"),
        (None, "the metadata is a NoneType"),
        ({1: "a"}, "a key that is an int"),
        ({"a": {None: 1}}, r"metadata\['a'\] has a key that is a NoneType"),
        ({"a\0": 1}, "NUL"),
        ({"a\ud800": 1}, "lone surrogate"),
        ({"a": "\0"}, r"metadata\['a'\] holds a NUL"),
        ({"a": ["\ud800"]}, "lone surrogate"),
        ({"a": float("nan")}, r"metadata\['a'\] is nan"),
        ({"a": [{"b": float("-inf")}]}, r"metadata\['a'\]\['b'\] is -inf"),
        ({"a": datetime.timedelta(1)}, "a timedelta, which JSON cannot hold"),
        ({"a": b"bytes"}, "a bytes, which JSON cannot hold"),
        ({"a": {1, 2}}, "a set, which JSON cannot hold"),
        ({"a": 10**5000}, "digits"),
        ({"a": "x" * (1 << 20)}, "larger than 1048576 bytes"),
        ({"a": ["x" * 1000] * 1050}, "larger than 1048576 bytes"),
    ],
)
def test_bad_metadata_is_refused_with_id_and_reason(metadata: Any, reason: str) -> None:
    with pytest.raises(BadDocumentError, match=f"^document 'the-id': .*{reason}") as caught:
        validate(Document("the-id", "text", metadata))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("metadata", [[], "", 0, False])
def test_empty_metadata_of_another_type_is_refused(metadata: Any) -> None:
    with pytest.raises(BadDocumentError, match="not a JSON object"):
        make_document("a", "text", metadata)


def test_metadata_that_holds_itself_is_refused() -> None:
    circle: dict[str, Any] = {}
    circle["again"] = circle
    with pytest.raises(BadDocumentError, match="nested more than 64 deep"):
        make_document("a", "text", circle)


def test_metadata_is_a_plain_copy() -> None:
    given: dict[str, Any] = {"tags": ("a", "b"), "nested": {"deep": [1, None, True, 2.5]}}
    document = make_document("a", "text", given)
    given["nested"]["deep"].append(3)
    assert document.metadata == {"tags": ["a", "b"], "nested": {"deep": [1, None, True, 2.5]}}


def test_long_id_is_shortened_in_the_message() -> None:
    with pytest.raises(BadDocumentError) as caught:
        make_document("y" * 400_000, "text")
    assert len(str(caught.value)) < 150


def test_content_hash_is_stable_across_releases() -> None:
    assert content_hash("héllo").hex() == "249a5c7589499a8866064c0d58459744"
    assert len(content_hash("")) == 16


def test_document_digest_ignores_only_key_order() -> None:
    base = document_digest(Document("a", "b", {"x": 1, "y": 2}))
    assert len(base) == 16
    assert document_digest(Document("a", "b", {"y": 2, "x": 1})) == base
    others = [Document("ab", "", {"x": 1, "y": 2}), Document("a", "b", {"x": 1, "y": "2"}), Document("a", "b")]
    assert base not in [document_digest(other) for other in others]


def test_canonical_json_has_one_form() -> None:
    assert canonical_json({"b": [1, 2.0], "a": "é"}) == '{"a":"é","b":[1,2.0]}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": float("nan")})


@given(_text, _metadata)
def test_valid_document_comes_back_equal(text: str, metadata: dict[str, Any]) -> None:
    document = make_document("a", text, metadata)
    assert document == Document("a", text, metadata)
    assert validate(document) == document
    assert json.loads(canonical_json(document.metadata)) == metadata


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_strings_are_a_document_or_refused(id: str, text: str) -> None:
    try:
        document = make_document(id, text)
    except BadDocumentError as error:
        assert str(error).isprintable()
    else:
        assert len(document_digest(document)) == len(content_hash(document.text))
