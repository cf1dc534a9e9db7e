"""Law: what an embedder says of itself decides how it is used, never the name of its kind.

Covers embedders.base.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import pytest

import vecrollback
from tests.support import voyage
from tests.support.third_party import install
from vecrollback import Document, Store
from vecrollback.embedders import Traits, open_embedder, traits_of
from vecrollback.embedders.base import COARSE_FLOOR, FLOOR
from vecrollback.embedders.callables import CallableEmbedder
from vecrollback.embedders.probes import embed_probes, verify_probes
from vecrollback.errors import EmbedderChangedError, EmbedderSpecError, UsageError
from vecrollback.records import Effort

METERED = ["voyage", "old_voyage"]


@pytest.fixture(autouse=True)
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", monkeypatch, embedders=voyage.KINDS)
    monkeypatch.setenv(voyage.CALLS, str(tmp_path / "calls"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with vecrollback.connect(tmp_path / "store", create=True) as opened:
        opened.upsert([Document(f"d{n}", f"note {n} about boats. " * (1 + n % 5)) for n in range(40)])
        yield opened


@pytest.mark.parametrize("kind", METERED)
def test_a_plan_never_calls_a_service_and_says_that_its_tokens_are_estimates(store: Store, kind: str) -> None:
    plan = store.plan(f"{kind}:32")
    assert voyage.calls() == []
    assert (plan.measured, plan.seconds, plan.estimated, plan.price) == (0, None, True, 0.06)
    assert plan.dollars == pytest.approx(plan.tokens * 0.06 / 1e6)
    local = store.plan("local:32")
    assert (local.measured > 0, local.estimated, len(voyage.calls()) > 1) == (True, False, True)


@pytest.mark.parametrize("kind", METERED)
def test_a_plan_does_not_time_the_live_pair_of_a_service_either(store: Store, kind: str, tmp_path: Path) -> None:
    store.reembed(f"{kind}:32", name="one").wait()
    store.check("one")
    store.promote("one")
    store.upsert([Document("new", "something else")])
    before = voyage.calls()
    with vecrollback.connect(tmp_path / "store") as fresh:
        plan = fresh.plan("hash:32")
    assert voyage.calls() == before
    assert (plan.stale_documents, plan.stale_seconds) == (1, None)


@pytest.mark.parametrize("kind", METERED)
def test_a_service_is_called_from_one_process_whatever_the_engine(store: Store, kind: str) -> None:
    store.reembed(f"{kind}:32", effort=Effort(engine="local:3")).wait()
    assert {process for process, _ in voyage.calls()} == {os.getpid()}
    for elsewhere in ("dask:2", "ray:2"):
        with pytest.raises(UsageError, match="no limit would hold"):
            store.reembed(f"{kind}:24", name=f"{kind}-2", effort=Effort(engine=elsewhere)).wait()


def test_a_local_model_is_called_from_the_processes_of_its_engine(store: Store) -> None:
    store.reembed("local:32", effort=Effort(engine="local:2")).wait()
    assert {process for process, _ in voyage.calls()} - {os.getpid()}


def test_a_pair_keeps_the_floor_that_its_embedder_names(store: Store) -> None:
    floors = {kind: store.reembed(f"{kind}:32").wait().probe_floor for kind in (*METERED, "local")}
    assert floors == {"voyage": voyage.FLOOR, "old_voyage": COARSE_FLOOR, "local": FLOOR}


@pytest.mark.parametrize(("kind", "said"), [("voyage", True), ("old_voyage", True), ("local", False)])
def test_what_a_provider_changed_is_said_to_be_a_providers_doing(kind: str, said: bool) -> None:
    embedder = open_embedder(f"{kind}:32")
    assert isinstance(embedder, voyage.Undeclared)
    recorded = embed_probes(embedder)
    embedder.model = open_embedder("hash:32?seed=2")
    with pytest.raises(EmbedderChangedError) as refused:
        verify_probes(embedder, recorded, traits_of(embedder).probe_floor)
    assert ("the provider changed the model" in str(refused.value)) is said


def test_an_object_without_traits_is_taken_for_a_service_when_anything_of_it_speaks_of_one() -> None:
    local = Traits(tokens_estimated=True)
    service = Traits(remote=True, priced=True, tokens_estimated=True, probe_floor=COARSE_FLOOR)
    assert traits_of(SimpleNamespace(contract={"kind": "own"}, dimension=3)) == local
    assert traits_of(SimpleNamespace(contract={"kind": "own"}, remote=False)) == local
    for says in (
        SimpleNamespace(contract={"kind": "own", "base_url": "somewhere"}),
        SimpleNamespace(contract={"kind": "own", "where": "https://models.example"}),
        SimpleNamespace(contract={}, remote=True),
        SimpleNamespace(contract={}, price=None),
        SimpleNamespace(contract={}, cost_per_token=1),
        SimpleNamespace(contract={}, api_key="hidden"),
    ):
        assert traits_of(says) == service, says
    assert traits_of(SimpleNamespace(contract={}, price=2)).price == 2.0


def test_a_price_that_costs_a_call_to_read_is_not_read() -> None:
    class Asks:
        contract = MappingProxyType({"kind": "own"})

        @property
        def cost_so_far(self) -> float:
            raise AssertionError("a call to the service")

    assert traits_of(Asks()).metered


def test_traits_of_another_shape_are_refused() -> None:
    with pytest.raises(EmbedderSpecError, match="dict"):
        traits_of(SimpleNamespace(contract={}, traits={"remote": True}))


def answer(texts: list[str]) -> list[list[float]]:
    return [[1.0, float(len(text))] for text in texts]


def call_service(texts: list[str]) -> list[list[float]]:
    return answer(texts)


call_service.traits = Traits(remote=True)  # type: ignore[attr-defined]


def test_a_function_says_in_an_attribute_that_it_calls_a_service() -> None:
    plain, service = (open_embedder(f"{__name__}:{name}") for name in ("answer", "call_service"))
    assert isinstance(plain, CallableEmbedder)
    assert (plain.traits.metered, plain.traits.tokens_estimated) == (False, True)
    assert service.traits.metered


def test_what_the_built_in_kinds_say() -> None:
    openai = open_embedder("openai:m?base_url=http://127.0.0.1:9/v1&price=2").traits
    assert openai == Traits(remote=True, priced=True, price=2.0, tokens_estimated=True, probe_floor=COARSE_FLOOR)
    assert not open_embedder("openai:m?base_url=http://127.0.0.1:9/v1").traits.priced
    assert open_embedder("openai:text-embedding-3-small").traits.priced
    assert open_embedder("hash:32").traits == Traits(light=True)


def test_traits_are_no_part_of_a_fingerprint() -> None:
    """Stores of every earlier version name the fingerprint that this string has had from the first day on."""
    assert open_embedder("hash:32?seed=1").fingerprint == "e5c536e777ba20d2cd7cad800c53227f"
    assert "traits" not in open_embedder("openai:m?base_url=http://127.0.0.1:9/v1").contract
