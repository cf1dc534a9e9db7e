"""Rerankers order the candidates, through a store, a server and the command line; and weights join two lists.

Covers serving.reranking.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cli.support import cli_json, refusal
from tests.support import cross_encoder
from tests.support.http_server import serving
from tests.support.third_party import install, install_page
from vecrollback import AsyncStore, Client, Document, Store, connect
from vecrollback.errors import RerankerError, RerankerSpecError, UsageError, VecrollbackError
from vecrollback.serving.reranking import Reranker, open_reranker
from vecrollback.testing import RerankerConformance

EMBEDDER = "hash:64?seed=3"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder that knows twelve questions."""
    return cross_encoder.train(tmp_path_factory.mktemp("cross-encoder"))


@pytest.fixture(scope="module")
def built(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built") / "store"
    with connect(root, create=True, embedder=EMBEDDER) as store:
        answers = cross_encoder.known().values()
        store.upsert([Document(f"d{n:02}", text) for n, text in enumerate(answers)], visible=True)
    (root / "vecrollback.toml").write_text(f'[rerankers]\nprecise = "cross-encoder:{model}"\n')
    return root


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "store"))


@pytest.fixture(scope="module")
def served(built: Path) -> Iterator[Client]:
    """A client of one server, which loads the model once."""
    with serving(built) as server, Client(server.url) as client:
        yield client


@pytest.fixture(scope="module", params=["store", "client"])
def door(request: pytest.FixtureRequest, built: Path) -> Iterator[Store | Client]:
    if request.param == "client":
        yield request.getfixturevalue("served")
    else:
        with connect(built) as store:
            yield store


def predicted(model: Path, question: str) -> dict[str, float]:
    """What sentence-transformers itself says of every text, by the id of its document."""
    from sentence_transformers import CrossEncoder

    answers = list(cross_encoder.known().values())
    scores = CrossEncoder(str(model)).predict([(question, text) for text in answers], show_progress_bar=False)
    return {f"d{n:02}": float(score) for n, score in enumerate(scores)}


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_a_cross_encoder_orders_what_was_found(door: Store | Client, model: Path, mode: str) -> None:
    changed = 0
    for question in list(cross_encoder.known())[:4]:
        expected = predicted(model, question)
        bare = door.search(question, 5, mode=mode)  # type: ignore[call-overload]
        result = door.search(question, 5, mode=mode, reranker="precise")  # type: ignore[call-overload]
        best = sorted(expected, key=lambda id_: -expected[id_])[:5]
        # By score: two that the model holds equal but for the last digits may change places with the batch they are in.
        assert [expected[hit.id] for hit in result.hits] == pytest.approx([expected[id_] for id_ in best], abs=1e-4)
        assert [hit.score for hit in result.hits] == pytest.approx([expected[hit.id] for hit in result.hits], abs=1e-4)
        assert result.reranker == open_reranker(f"cross-encoder:{model}").fingerprint
        assert (bare.reranker, result.pair, result.mode) == ("", "hash-64", mode)
        assert result.cache_key == f"{bare.cache_key}.{result.reranker}"
        changed += [hit.id for hit in bare.hits] != best
    assert changed, "a reranker that changes nothing proves nothing"


def test_it_knows_answers_that_the_pair_does_not_find(place: Path, model: Path) -> None:
    with connect(place) as store:
        known = {question: f"d{n:02}" for n, question in enumerate(cross_encoder.known())}
        spec = f"cross-encoder:{model}"
        bare = sum(store.search(one, 1).hits[0].id == id_ for one, id_ in known.items())
        ordered = sum(store.search(one, 1, reranker=spec).hits[0].id == id_ for one, id_ in known.items())
    assert ordered > bare


def test_several_queries_words_and_an_empty_answer(door: Store | Client) -> None:
    several = door.search(["landlord", "zzz"], 3, mode="keyword", reranker="precise")
    assert several[0].hits
    assert (several[1].hits, several[1].reason) == ([], "no document holds one of these words")


async def test_a_store_that_is_awaited_takes_one_too(place: Path) -> None:
    async with AsyncStore(connect(place, follow=True)) as store:
        question = next(iter(cross_encoder.known()))
        result = await store.search(question, 2, reranker="precise")
        assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
        assert result.reranker


def test_what_is_not_valid_is_refused_with_what_to_do(door: Store | Client) -> None:
    wrong: list[dict[str, object]] = [
        {"reranker": "unheard-of"},
        {"weights": (0.5, 0.5)},
        {"weights": (0.0, 0.0), "mode": "hybrid"},
        {"weights": (-1.0, 2.0), "mode": "hybrid"},
    ]
    for options in wrong:
        with pytest.raises(VecrollbackError) as caught:
            door.search("landlord", **options)  # type: ignore[call-overload]
        assert caught.value.hint
    made = door.embed_queries(["landlord"])
    with pytest.raises(UsageError, match="no words"):
        door.search(made, reranker="precise")


def test_over_http_a_caller_names_no_model_of_his_own(served: Client, model: Path) -> None:
    for spec in (f"cross-encoder:{model}", "cross-encoder:org/model", "../precise"):
        with pytest.raises(UsageError, match="no reranker is called"):
            served.search("landlord", reranker=spec)
    assert served.search("landlord", reranker="precise").reranker


def test_a_broken_reranker_is_no_reason_to_roll_back(place: Path, model: Path, tmp_path: Path) -> None:
    """What a policy counts against the pair is what the pair does."""
    broken = Path(shutil.copytree(model, tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"not weights")
    (place / "vecrollback.toml").write_text(f'[rerankers]\nprecise = "cross-encoder:{broken}"\n')
    with serving(place) as server, Client(server.url) as client:
        for _ in range(3):
            with pytest.raises(VecrollbackError):
                client.search("landlord", reranker="precise")
        assert client.search("landlord").hits
        line = client.situation().line("queries")
    assert line.state == "ok", line


def test_the_command_line_names_or_spells_one(place: Path, model: Path) -> None:
    question = next(iter(cross_encoder.known()))
    named = cli_json("search", question, "--store", place, "--reranker", "precise")
    spelt = cli_json("search", question, "--store", place, "--reranker", f"cross-encoder:{model}")
    assert named["hits"] == spelt["hits"]
    assert named["reranker"].startswith("cross-encoder:")
    weighed = cli_json("search", question, "--store", place, "--mode", "hybrid", "--weights", "1,0")
    assert weighed["hits"][0]["id"] == cli_json("search", question, "--store", place)["hits"][0]["id"]
    refusal("search", question, "--store", place, "--weights", "much", code=2)


def test_weights_join_scores_that_are_spread_over_zero_to_one(place: Path) -> None:
    question = "what does the landlord do about the boat"
    with connect(place) as store:
        sides = [store.search(question, 50, mode=mode).hits for mode in ("vector", "keyword")]
        result = store.search(question, 8, mode="hybrid", weights=(3, 1))
    wanted: dict[str, float] = {}
    for weight, hits in zip((0.75, 0.25), sides, strict=True):
        low, high = hits[-1].score, hits[0].score
        for hit in hits:
            wanted[hit.id] = wanted.get(hit.id, 0.0) + weight * (hit.score - low) / (high - low)
    assert [hit.id for hit in result.hits] == sorted(wanted, key=lambda id_: (-wanted[id_], id_))[:8]
    assert [hit.score for hit in result.hits] == pytest.approx([wanted[hit.id] for hit in result.hits])


def test_a_rollback_leaves_the_reranker_alone(place: Path) -> None:
    question = next(iter(cross_encoder.known()))
    with connect(place) as store:
        store.promote(store.reembed("hash:64?seed=4", name="v2").wait(), reason="newer")
        before = store.search(question, reranker="precise")
        store.rollback(reason="worse")
        after = store.search(question, reranker="precise")
    assert (before.pair, after.pair, after.reranker) == ("v2", "hash-64", before.reranker)
    assert [hit.id for hit in after.hits] == [hit.id for hit in before.hits]  # all twelve are candidates


def test_a_damaged_model_is_named_and_other_weights_have_another_fingerprint(model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    assert open_reranker(f"cross-encoder:{copy}").fingerprint == open_reranker(f"cross-encoder:{model}").fingerprint
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5_000])
    broken = open_reranker(f"cross-encoder:{copy}?batch_size=4")
    assert broken.fingerprint != open_reranker(f"cross-encoder:{model}").fingerprint
    with pytest.raises(RerankerError, match="does not work") as caught:
        broken.scores("a", ["b"])
    assert str(copy) in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        "psychic:small",
        "precise",
        "cross-encoder:/nowhere/at/all",
        "cross-encoder:alone",
        "cross-encoder:{model}?colour=red",
        "cross-encoder:{model}?max_length=2",
        "cross-encoder:{model}?revision=main",
    ],
)
def test_a_string_that_names_nothing_is_refused(spec: str, model: Path) -> None:
    with pytest.raises(RerankerSpecError) as caught:
        open_reranker(spec.format(model=model))
    assert "embedder" not in str(caught.value)


def test_a_kind_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, rerankers={"gone": "no_such_module:open"})
    with pytest.raises(RerankerSpecError, match="no_such_module"):
        open_reranker("gone:x")


def test_a_wrong_table_is_refused_with_its_line(place: Path) -> None:
    (place / "vecrollback.toml").write_text("[rerankers]\nprecise = 3\n")
    with connect(place) as store, pytest.raises(UsageError, match=r"vecrollback\.toml:2: 'precise'"):
        store.search("landlord", reranker="precise")


class TestCrossEncoder(RerankerConformance):
    @pytest.fixture
    def spec(self, model: Path) -> str:
        return f"cross-encoder:{model}"

    def test_it_is_the_library_s_own(self, reranker: Reranker, model: Path) -> None:
        question = next(iter(cross_encoder.known()))
        expected = predicted(model, question)
        scores = reranker.scores(question, list(cross_encoder.known().values()))
        assert np.allclose(scores, list(expected.values()), atol=1e-5)


class TestOverlap(RerankerConformance):
    """The one of the how-to page."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def installed(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            install_page("reranker", tmp_path_factory.mktemp("site"), patch)
            yield

    @pytest.fixture
    def spec(self) -> str:
        return "overlap:words"
