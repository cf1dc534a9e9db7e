"""What every engine promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from vecrollback.embedders import open_embedder
from vecrollback.reembedding.engines import EmbeddedUnit, EmbedderRecipe, Engine, FailedUnit, Unit
from vecrollback.testing import to_be_defined
from vecrollback.testing.models import DEADLY, PLAIN, TOUCHY

Open = Callable[[str], Engine]


def texts(unit: int, count: int = 5) -> tuple[str, ...]:
    return tuple(f"note {unit} of {place}, on boats" for place in range(count))


class EngineConformance:
    """What every engine promises: units go in, each comes back once, in any order and whoever died meanwhile.

    A subclass's `engine` opens one of two workers for a recipe.

    Attributes:
        kills: A text may take a worker down without this process. False where the workers are threads.

    Example:
        A whole adopter::

            from my_package import open_mine
            from vecrollback.reembedding.engines import EmbedderRecipe, Engine
            from vecrollback.testing import EngineConformance

            class TestMine(EngineConformance):
                def engine(self, recipe: EmbedderRecipe) -> Engine:
                    return open_mine("mine:2", recipe)
    """

    kills = True

    def engine(self, recipe: EmbedderRecipe) -> Engine:  # noqa: ARG002
        to_be_defined(type(self), "engine")

    @pytest.fixture
    def open(self) -> Iterator[Open]:
        engines: list[Engine] = []

        def begin(spec: str) -> Engine:
            engines.append(self.engine(EmbedderRecipe(spec, frozenset({open_embedder(spec).fingerprint}))))
            return engines[-1]

        yield begin
        for engine in engines:
            engine.close()
            engine.close()  # idempotent

    def test_every_unit_comes_back_once_with_the_vectors_of_its_texts(self, open: Open) -> None:
        engine, texts_by_unit = open(PLAIN), {number: texts(number) for number in range(1, 13)}
        waiting = dict(texts_by_unit)
        outcomes: dict[int, EmbeddedUnit] = {}
        running = 0
        while waiting or running:
            while waiting and running < engine.width:
                number = next(iter(waiting))
                engine.submit(Unit(number, waiting.pop(number)))
                running += 1
            outcome = engine.take()
            running -= 1
            assert isinstance(outcome, EmbeddedUnit), outcome
            assert outcome.number not in outcomes
            outcomes[outcome.number] = outcome
        model = open_embedder(PLAIN)
        for number, chunks in texts_by_unit.items():
            unit = outcomes[number]
            np.testing.assert_array_equal(unit.vectors, model.embed_documents(chunks))
            assert unit.counts == (1,) * 5
            assert unit.spans.tolist() == [[0, len(text)] for text in chunks]
            assert unit.tokens == model.count_tokens(chunks)

    def test_chunks_and_blank_texts_are_told_apart(self, open: Open) -> None:
        engine = open(f"{PLAIN}&chunk=tokens:3:0")
        engine.submit(Unit(1, ("one two three four", "  ", "five")))
        unit = engine.take()
        assert isinstance(unit, EmbeddedUnit)
        assert unit.counts == (2, 0, 1)
        assert unit.spans.tolist() == [[0, 13], [14, 18], [0, 4]]
        assert unit.vectors.shape == (3, 32)

    def test_a_model_that_raises_is_told_and_the_worker_goes_on(self, open: Open) -> None:
        engine = open(TOUCHY)
        engine.submit(Unit(1, ("good", "poison")))
        outcome = engine.take()
        assert isinstance(outcome, FailedUnit)
        assert (outcome.number, outcome.died, outcome.stops) == (1, False, False)
        assert "this text breaks the model" in outcome.message
        engine.submit(Unit(2, ("good",)))
        assert isinstance(engine.take(), EmbeddedUnit)

    def test_another_model_at_the_worker_ends_the_job(self) -> None:
        engine = self.engine(EmbedderRecipe(PLAIN, frozenset({"0" * 32})))
        try:
            engine.submit(Unit(1, ("text",)))
            outcome = engine.take()
        finally:
            engine.close()
        assert isinstance(outcome, FailedUnit)
        assert outcome.stops
        assert "another model" in str(outcome.error)

    def test_a_text_that_kills_its_worker_is_told_and_others_are_embedded(self, open: Open) -> None:
        if not self.kills:
            pytest.skip("this engine embeds in the process itself, which a lethal text would end")
        engine = open(DEADLY)
        engine.submit(Unit(1, ("a lethal text",)))
        outcome = engine.take()
        assert isinstance(outcome, FailedUnit)
        assert (outcome.number, outcome.died, outcome.stops) == (1, True, False)
        engine.submit(Unit(2, ("good",)))
        assert isinstance(engine.take(), EmbeddedUnit)

    def test_a_closed_engine_with_work_in_hand_waits_for_nobody(self, open: Open) -> None:
        engine = open(PLAIN)
        engine.submit(Unit(1, texts(1)))
        engine.close()
