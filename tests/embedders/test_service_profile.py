"""Every recipe of docs/how-to/services.md against a local server that behaves as the provider does.

Covers embedders.wire_forms, embedders.text_limit, embedders.service_profile.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest

from tests.support.openai_server import OpenAIServer
from tests.support.provider_servers import DIMENSION, KEY, MOST_TEXTS, PROVIDERS, ProviderServer
from vecrollback import Document, connect
from vecrollback.embedders import open_embedder
from vecrollback.embedders.openai import OpenAIEmbedder
from vecrollback.embedders.service_profile import expand, table_of
from vecrollback.embedders.spec import Arguments
from vecrollback.embedders.text_limit import read_limit
from vecrollback.embedders.wire_forms import Base64Numbers
from vecrollback.errors import EmbedderChangedError, EmbedderSpecError, EmbeddingError, TextTooLongError

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "services.md"
_TABLES = re.findall(r"^```toml\n(\[embedder\.([\w-]+)\]\n.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
RECIPES = {name: table for table, name in _TABLES}

TEXTS = [f"document number {i} about rivers" for i in range(300)]
LONG = "rivers and lakes " * 200
STRICT = sorted(name for name, provider in PROVIDERS.items() if provider.too_long)
CUT = sorted(name for name in STRICT if 'too_long = "cut"' in RECIPES.get(name, ""))


class Recipe:
    """A recipe of the page, its address replaced by that of a local server."""

    def __init__(self, name: str, server: ProviderServer) -> None:
        self.name, self.server = name, server

    def open(self, **arguments: object) -> OpenAIEmbedder:
        more = "&".join(f"{name}={value}" for name, value in arguments.items())
        embedder = open_embedder(f"profile:{self.name}?{more}")
        assert isinstance(embedder, OpenAIEmbedder)
        return embedder

    def prompts(self) -> tuple[str, str]:
        table = tomllib.loads(RECIPES[self.name])["embedder"][self.name]
        return table.get("document_prompt", ""), table.get("query_prompt", "")


@pytest.fixture
def recipe(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recipe]:
    name = request.param
    monkeypatch.chdir(tmp_path)
    with ProviderServer(name) as server:
        table = RECIPES[name]
        written = re.search(r'base_url = "(.*?)"', table)
        assert written is not None
        place = urlsplit(written[1])
        table = table.replace(f"{place.scheme}://{place.netloc}", server.address)
        table = re.sub(r"^dimensions = \d+$", f"dimensions = {DIMENSION}", table, flags=re.MULTILINE)
        Path("vecrollback.toml").write_text(table)
        for variable in re.findall(r'api_key_env = "(\w+)"|\$\{(\w+)\}', table):
            monkeypatch.setenv("".join(variable), KEY)
        yield Recipe(name, server)


every_recipe = pytest.mark.parametrize("recipe", sorted(RECIPES), indirect=True)


def test_every_provider_has_a_recipe_and_every_recipe_a_provider() -> None:
    assert RECIPES.keys() == PROVIDERS.keys()
    assert len(RECIPES) >= 15


@every_recipe
def test_documents_and_queries_get_the_providers_vectors_in_as_many_requests_as_it_takes(recipe: Recipe) -> None:
    embedder, server = recipe.open(), recipe.server
    document, query = recipe.prompts()
    tolerance = 1e-3 if "float16" in RECIPES[recipe.name] else 1e-6
    np.testing.assert_allclose(
        embedder.embed_documents(TEXTS), server.vectors([document + text for text in TEXTS]), atol=tolerance
    )
    asked = server.vectors([query + "rivers"], query=True)
    np.testing.assert_allclose(embedder.embed_queries(["rivers"]), asked, atol=tolerance)
    np.testing.assert_allclose(embedder.answer_queries(["rivers"]), asked, atol=tolerance)
    assert len(server.requests) >= 3


@every_recipe
def test_a_limit_on_the_rate_is_waited_out(recipe: Recipe, waits: list[float]) -> None:
    recipe.server.busy = 2
    assert recipe.open().embed_documents(["rivers"]).shape == (1, 64)
    assert len(waits) == 2
    asked = {"gemini": 4, "azure": 2, "lmstudio": 1}.get(recipe.name)
    assert asked is None or waits == [asked] * 2


@pytest.mark.parametrize("recipe", STRICT, indirect=True)
def test_a_text_that_is_too_long_is_known_as_that(recipe: Recipe, waits: list[float]) -> None:
    for ask in ("embed_documents", "answer_queries"):
        with pytest.raises(TextTooLongError) as caught:
            getattr(recipe.open(too_long="refuse", max_characters=100_000), ask)(["rivers", LONG])
        assert "chunk=" in caught.value.hint
    assert waits == []


@pytest.mark.parametrize("recipe", CUT, indirect=True)
def test_a_text_that_is_too_long_is_cut_alone_whatever_stands_beside_it(recipe: Recipe) -> None:
    embedder = recipe.open(max_characters=100_000)
    alone = embedder.embed_documents([LONG])
    beside = embedder.embed_documents(["rivers", LONG, "lakes"])
    np.testing.assert_allclose(beside[1:2], alone, atol=1e-6)
    np.testing.assert_allclose(beside[::2], embedder.embed_documents(["rivers", "lakes"]), atol=1e-6)


@pytest.mark.parametrize(
    "recipe", sorted(name for name, provider in PROVIDERS.items() if provider.too_many), indirect=True
)
def test_too_many_texts_are_known_as_that(recipe: Recipe) -> None:
    with pytest.raises(EmbeddingError) as caught:
        recipe.open(batch_size=MOST_TEXTS + 1).embed_documents(TEXTS)
    assert "batch_size=" in caught.value.hint


@pytest.mark.parametrize("recipe", ["cohere", "nvidia"], indirect=True)
def test_a_missing_role_is_known_as_that(recipe: Recipe) -> None:
    written = Path("vecrollback.toml").read_text()
    Path("vecrollback.toml").write_text(re.sub(r"^(document|query)\..*\n", "", written, flags=re.MULTILINE))
    with pytest.raises(EmbeddingError) as caught:
        recipe.open().embed_documents(["rivers"])
    assert "document.input_type=" in caught.value.hint


@pytest.mark.parametrize("recipe", ["voyage", "jina", "vertex"], indirect=True)
def test_a_field_that_is_not_taken_is_known_as_that(recipe: Recipe) -> None:
    with pytest.raises(EmbeddingError) as caught:
        recipe.open(encoding_format="float").embed_documents(["rivers"])
    assert "encoding_format=none" in caught.value.hint


_SAMPLE = ("azure", "cohere", "gemini", "tei")
"""One of each form; the others differ from them in nothing that a store sees."""


@pytest.mark.parametrize(
    "recipe",
    [pytest.param(name, marks=() if name in _SAMPLE else pytest.mark.slow) for name in sorted(RECIPES)],
    indirect=True,
)
def test_a_pair_is_built_asked_and_rolled_back_to_without_the_file(recipe: Recipe, tmp_path: Path) -> None:
    with connect(tmp_path / "store", create=True) as store:
        store.upsert(Document(f"d{i}", text) for i, text in enumerate(TEXTS[:20]))
        store.reembed(f"profile:{recipe.name}", name="v1").wait()
        store.promote("v1")
        store.reembed("hash:32?seed=1", name="v2").wait()
        store.promote("v2")
        store.rollback(reason="try")
    Path("vecrollback.toml").unlink()
    with connect(tmp_path / "store") as store:
        answer = store.search("number 7 about rivers", k=20)
        assert answer.pair == "v1"
        assert {hit.id for hit in answer.hits} == {f"d{i}" for i in range(20)}
        assert store.check("v1").verdict == "pass"
        assert KEY not in store.pair("v1").embedder
    for file in (tmp_path / "store").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


@every_recipe
def test_a_key_shows_nowhere(recipe: Recipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    embedder = recipe.open()
    shown = [repr(embedder), embedder.spec, str(embedder.contract), repr(vars(embedder))]
    if recipe.server.provider.key is not None:
        wrong = "wrong-0123456789"
        for variable in re.findall(r'api_key_env = "(\w+)"|\$\{(\w+)\}', RECIPES[recipe.name]):
            monkeypatch.setenv("".join(variable), wrong)
        with pytest.raises(EmbeddingError, match="HTTP 401") as caught:
            embedder.embed_documents(["rivers"])
        assert "***" in str(caught.value)
        shown += [str(caught.value), caught.value.hint, caplog.text]
        assert not any(wrong in text for text in shown)
    assert not any(KEY in text for text in [*shown, caplog.text])


# -- the string and the table ---------------------------------------------------------------------------------------


def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, name: str = "mine") -> str:
    monkeypatch.chdir(tmp_path)
    Path("vecrollback.toml").write_text(f"[embedder.{name}]\n{lines}\n")
    return expand(f"profile:{name}")


def test_a_profile_and_its_string_are_one_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = written(
        tmp_path,
        monkeypatch,
        'model = "m"\nbase_url = "http://h/v1"\nquery_prompt = "find: what?&=+%ü"\nbody.truncate = false\n'
        'body.options = { num_ctx = 8 }\nbody.version = "3"\nheader.x-team = "a, b"\nquery.input_type = "query"\n'
        "rate = 2",
    )
    one, other = open_embedder("profile:mine"), open_embedder(spec)
    assert one.spec == other.spec == spec
    assert one.fingerprint == other.fingerprint
    contract = one.contract
    assert contract["query_prompt"] == "find: what?&=+%ü"
    assert contract["body"] == {"truncate": False, "options": {"num_ctx": 8}, "version": "3"}
    assert contract["query"] == {"input_type": "query"}


def test_what_follows_the_name_wins_over_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = written(tmp_path, monkeypatch, 'model = "m"\nbase_url = "http://h/v1"\ndimensions = 8')
    assert open_embedder("profile:mine?dimensions=16").dimension == 16
    assert open_embedder(spec).dimension == 8


def test_a_store_has_profiles_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with connect(tmp_path / "store", create=True):
        pass
    (tmp_path / "store" / "vecrollback.toml").write_text('[embedder.there]\nmodel = "m"\nbase_url = "http://h/v1"\n')
    assert open_embedder("profile:there", store=tmp_path / "store").contract["model"] == "m"
    with pytest.raises(EmbedderSpecError, match="no profile 'there'"):
        open_embedder("profile:there")


def test_a_table_reads_back_as_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {
        "base_url": "http://h/v1",
        "batch_size": "32",
        "query_prompt": 'say "it": ',
        "header.x-team": "a",
        "body.truncate": "false",
        "body.version": '"3"',
        "body.options": '{"num_ctx": 8, "stop": ["a", "b"]}',
        "document_prompt": "Schön 😀: ",
        "query.input_type": "query",
    }
    monkeypatch.chdir(tmp_path)
    Path("vecrollback.toml").write_text(table_of("mine", "org/m", arguments))
    spec = expand("profile:mine")
    assert spec.startswith("service:org/m?")
    query = urlencode(arguments)
    assert open_embedder(spec).contract == open_embedder(f"service:org/m?{query}").contract


def test_only_what_shapes_vectors_changes_the_fingerprint() -> None:
    base = "service:m?base_url=http://h/v1"
    same = ("", "&rate=3", "&timeout=5", "&header.x-team=a", "&api_key_env=K", "&batch_size=3", "&probe_floor=0.999")
    assert len({open_embedder(base + more).fingerprint for more in (*same, "&encoding_format=none")}) == 1
    other = (
        "&body.x=1",
        "&document.x=1",
        "&query.x=1",
        "&param.version=2",
        "&protocol=tei",
        "&max_characters=99",
        "&too_long=cut",
    )
    assert len({open_embedder(base + more).fingerprint for more in ("", *other)}) == len(other) + 1
    assert open_embedder(base).fingerprint == open_embedder(base.replace("service:", "openai:")).fingerprint


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("header.api-key=sk-123456", "header.api-key holds a value"),
        ("header.Authorization=Bearer+sk-123456", "header.Authorization holds a value"),
        ("header.api-key=sk-123456${", "header.api-key holds a value"),
        ("header.api-key=sk-123456${a-b}", "header.api-key holds a value"),
        ("header.x-team=${a-b}", "header.x-team is not a valid header"),
        ("header.x-team=a%0Ab", "header.x-team is not a valid header"),
        ("header.x+team=a", "header.x team is not a valid header"),
        ("body.api_key=sk-123456", "body.api_key would put a secret"),
        ("query.token=sk-123456", "query.token would put a secret"),
        ('body.options={"auth_token":"sk-123456"}', "body.options.auth_token would put a secret"),
        ("param.key=sk-123456", "param.key would put a secret"),
        ("param.version=${SECRET}", "param.version would put a secret"),
        ("api_key=sk-123456", "unknown argument api_key"),
        ("probe_floor=0.5", "probe_floor=0.5"),
        ("max_length=512", "max_length= counts tokens"),
        ("protocol=soap", "protocol='soap' is not known"),
    ],
)
def test_what_is_not_valid_is_refused_before_anything_is_sent(argument: str, words: str) -> None:
    with pytest.raises(EmbedderSpecError) as caught:
        open_embedder(f"service:m?base_url=http://h/v1&{argument}")
    assert words in str(caught.value)
    assert "sk-123456" not in f"{caught.value}{caught.value.hint}"


def test_a_field_that_counts_tokens_is_no_secret() -> None:
    fields = "body.truncate_prompt_tokens=512&body.tokenizer=m&body.max_tokens=8&body.keywords=a"
    assert open_embedder(f"service:m?base_url=http://h/v1&{fields}").contract["body"]


@pytest.mark.parametrize("spec", ["service:", "service:m", "profile:nobody", "profile:"])
def test_half_a_service_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmbedderSpecError):
        open_embedder(spec)


# -- limits and numbers ---------------------------------------------------------------------------------------------


def test_tokens_are_counted_and_cut_by_the_models_own_tokenizer(minilm: str) -> None:
    limit = read_limit(Arguments({"tokenizer": minilm, "max_length": "10"}))
    assert limit.tokenizer is not None
    cut, short = limit.apply(["the harbour at dawn, slowly, in the mist of the morning", "short"])
    assert short == "short"
    assert limit.tokenizer.lengths([cut], "", None) == [10]
    assert "the harbour at dawn, slowly, in the mist of the morning".startswith(cut)


def test_a_service_with_a_tokenizer_chunks_by_tokens(server: OpenAIServer, minilm: str) -> None:
    embedder = open_embedder(server.spec(dimensions=64, chunk="tokens:8:0", tokenizer=minilm))
    assert len(embedder.chunk("ships leave at dawn, " * 10)) > 4
    assert not embedder.traits.tokens_estimated
    assert embedder.count_tokens(["ships leave"]) > 2


@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16"])
def test_base64_is_read_whatever_its_width(dtype: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ProviderServer("vllm") as server:
        more = f"&body.embed_dtype={dtype}" if dtype else ""
        spec = f"service:m?base_url={server.address}/v1&encoding_format=base64{more}"
        embedder = open_embedder(spec)
        np.testing.assert_allclose(
            embedder.embed_documents(["rivers", "sea"]), server.vectors(["rivers", "sea"]), atol=0.01
        )
        embedder.embed_documents(["rivers"])
    assert [request.get("encoding_format") for request in server.requests] == ["base64", None, "base64"]


def test_base64_that_agrees_with_nothing_is_refused() -> None:
    with pytest.raises(EmbeddingError, match="hold other numbers"):
        Base64Numbers(None).learn("AAAAAAAAAAAAAAAAAAAAAA==", np.ones(4, dtype=np.float32))


@pytest.mark.parametrize("width", ["<f8", "<f4", "<f2", "i1"])
def test_every_width_is_known_by_the_same_vector_in_decimal(width: str) -> None:
    import base64

    row = (np.arange(1, 33, dtype=np.float32) - 16) * 4
    numbers = Base64Numbers(None)
    text = base64.b64encode(row.astype(width).tobytes()).decode()
    numbers.learn(text, row)
    np.testing.assert_array_equal(numbers(text), row)


# -- noise ----------------------------------------------------------------------------------------------------------


def noisy(server: OpenAIServer, size: float) -> None:
    """Let the server's answers differ from call to call: 1 - cosine of about `size` between two of them."""
    random = np.random.default_rng(0)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        vectors = server.model.embed_documents(request["input"])
        vectors = vectors + random.normal(0, (size / 64) ** 0.5, vectors.shape)
        return {"data": [{"index": i, "embedding": row.tolist()} for i, row in enumerate(vectors)]}

    server.answer = answer  # type: ignore[method-assign]


def test_a_services_own_noise_is_called_noise(server: OpenAIServer, tmp_path: Path) -> None:
    noisy(server, 0.0005)
    with connect(tmp_path / "store", create=True) as store:
        store.upsert(Document(f"d{i}", text) for i, text in enumerate(TEXTS[:40]))
        store.reembed(server.spec(dimensions=64), name="v1").wait()
        store.promote("v1")
        assert 0.99 <= store.pair("v1").probe_floor < 0.9995
        report = store.check("v1")
        assert report.verdict == "pass", report
        assert store.search("number 7 about rivers", k=3).hits
        server.model = open_embedder("hash:64?seed=8")
        with pytest.raises(EmbedderChangedError):
            store.upsert([Document("new", "lakes")])
            store.catch_up("v1")


def test_a_service_that_is_noisier_than_models_differ_is_refused(server: OpenAIServer, tmp_path: Path) -> None:
    noisy(server, 0.02)
    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("a", "rivers")])
        with pytest.raises(EmbeddingError, match="cannot be told from another model"):
            store.reembed(server.spec(dimensions=64), name="v1").wait()


def test_a_floor_that_no_noise_asks_for_is_found(server: OpenAIServer, tmp_path: Path) -> None:
    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("a", "rivers")])
        store.reembed(server.spec(dimensions=64), name="v1").wait()
        assert store.pair("v1").probe_floor == 0.9995
    with sqlite3.connect(tmp_path / "store" / "catalog.db") as catalog:
        catalog.execute("update pair set probe_floor = 0.99")
    with connect(tmp_path / "store") as store:
        assert "the probe floor is 0.99" in str(store.check("v1").findings)


def test_another_field_for_queries_embeds_no_document_again_while_the_model_is_the_same(
    server: OpenAIServer, tmp_path: Path
) -> None:
    def documents() -> int:
        return sum(text.startswith("document number") for request in server.requests for text in request["input"])

    with connect(tmp_path / "store", create=True) as store:
        store.upsert(Document(f"d{i}", text) for i, text in enumerate(TEXTS[:30]))
        store.reembed(server.spec(dimensions=64), name="v1").wait()
        store.reembed(server.spec(dimensions=64) + "&query.input_type=query", name="v2").wait()
        assert documents() == 30
        assert store.check("v2").verdict == "pass"
        server.model = open_embedder("hash:64?seed=8")
        store.reembed(server.spec(dimensions=64) + "&query.input_type=other", name="v3").wait()
        assert documents() > 60, "the documents' probes of the two differ: nothing is taken over"
