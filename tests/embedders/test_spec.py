"""Embedder strings: what they name, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from vecrollback import embedders
from vecrollback.embedders import open_embedder
from vecrollback.embedders.spec import CALLABLE, SENTENCE_TRANSFORMERS, Spec, parse
from vecrollback.errors import EmbedderSpecError

KINDS = ("hash", "openai")


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("hash:384?seed=1", "hash", "384"),
        ("openai:org/model:tag?base_url=http://h:1/v1", "openai", "org/model:tag"),
        ("my.package.module:make.it", CALLABLE, "my.package.module:make.it"),
        ("all-MiniLM-L6-v2", SENTENCE_TRANSFORMERS, "all-MiniLM-L6-v2"),
        ("BAAI/bge-small-en-v1.5?revision=main", SENTENCE_TRANSFORMERS, "BAAI/bge-small-en-v1.5"),
    ],
)
def test_each_form_names_its_kind(text: str, kind: str, target: str) -> None:
    spec = parse(text, KINDS)
    assert (spec.text, spec.kind, spec.target) == (text, kind, target)


def test_an_existing_directory_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hash:8").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse("hash:8", KINDS).kind == SENTENCE_TRANSFORMERS


@pytest.mark.parametrize(
    "text", ["", " ", "?a=1", "./nowhere", "/no/such/place", "ftp://host/m", "a b c", "org/a/b", "hash", "openai?x=1"]
)
def test_a_string_that_names_nothing_is_refused_with_a_cure(text: str) -> None:
    with pytest.raises(EmbedderSpecError) as caught:
        parse(text, KINDS)
    assert caught.value.hint


def test_unknown_arguments_are_refused_listing_the_known_ones() -> None:
    with pytest.raises(EmbedderSpecError, match="sed") as caught:
        open_embedder("hash:64?sed=3")
    assert "seed" in caught.value.hint
    assert "normalize" in caught.value.hint


def test_the_value_of_an_unknown_argument_is_never_repeated() -> None:
    with pytest.raises(EmbedderSpecError) as caught:
        open_embedder("openai:m?api_key=sk-secret")
    assert "sk-secret" not in str(caught.value) + caught.value.hint


def test_an_argument_given_twice_is_refused() -> None:
    with pytest.raises(EmbedderSpecError, match="twice"):
        open_embedder("hash:64?seed=1&seed=2")


@pytest.mark.parametrize("argument", ["seed=x", "seed=-1", "noise=abc", "normalize=maybe", "metric=hamming", "seed="])
def test_a_value_of_the_wrong_type_is_refused(argument: str) -> None:
    with pytest.raises(EmbedderSpecError, match=argument.partition("=")[0]):
        open_embedder(f"hash:64?{argument}")


def test_metric_and_normalize_default_from_each_other() -> None:
    assert open_embedder("hash:64").metric == "cosine"
    assert open_embedder("hash:64?normalize=false").metric == "dot"
    assert open_embedder("hash:64?metric=l2").contract["normalize"] is False
    assert open_embedder("hash:64?metric=dot&normalize=true").contract["normalize"] is True
    with pytest.raises(EmbedderSpecError, match="cosine"):
        open_embedder("hash:64?metric=cosine&normalize=false")


def test_a_third_party_kind_is_opened_through_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("other", f"{__name__}:open_other", "vecrollback.embedders")
    monkeypatch.setattr(embedders, "entry_points_of", lambda _: {point.name: point})
    assert open_embedder("other:32?seed=4").dimension == 32


def test_a_broken_third_party_kind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("other", "no_such_module:open_it", "vecrollback.embedders")
    monkeypatch.setattr(embedders, "entry_points_of", lambda _: {point.name: point})
    with pytest.raises(EmbedderSpecError, match="no_such_module"):
        open_embedder("other:32")


def open_other(spec: Spec) -> embedders.Embedder:
    return open_embedder(f"hash:{spec.target}")


def test_importing_embedders_loads_nothing_heavy() -> None:
    code = (
        "import sys, vecrollback.embedders as e; e.open_embedder('hash:64').embed_documents(['a'])\n"
        "e.open_embedder('openai:m').fingerprint\n"
        "heavy = {'torch', 'sentence_transformers', 'transformers', 'tokenizers', 'semantic_text_splitter', 'httpx',"
        " 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
