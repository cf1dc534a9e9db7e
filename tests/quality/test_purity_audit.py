"""An audit finds what other models made, raises no false alarm, and says so where it cannot know.

Covers quality.purity.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests.support.purity_worlds import Table, World, units, world
from vecrollback.embedders import open_embedder
from vecrollback.errors import EmbeddingError, UsageError
from vecrollback.quality.purity import Arrays, AuditProgress, AuditRequest, AuditResult, audit
from vecrollback.records.arrays import FloatArray

LOOSE = AuditRequest(bound=0.05, confidence=0.95, seed=1)


def audited(made: World, *, suspect: bool = False, request: AuditRequest = LOOSE, **options: object) -> AuditResult:
    suspects = {"suspect": Table(made.other)} if suspect else {}
    return audit(made.population(**options), Table(made.own), suspects=suspects, request=request)


# -- finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.002, 0.02, 0.2])
@pytest.mark.parametrize("suspect", [True, False], ids=["known", "unknown"])
def test_every_foreign_vector_that_a_screen_can_see_is_found(share: float, suspect: bool) -> None:
    made = world(1, count=4_000, share=share, shift=3.0)
    found = audited(made, suspect=suspect)
    assert set(found.rows) == made.rows()
    assert found.verdict == "fail"
    assert found.certificate.bound <= 0.05
    assert sum(found.embedded.values()) < 1_000 + len(made.rows())


@pytest.mark.parametrize("share", [0.002, 0.05, 0.2])
@pytest.mark.parametrize(("suspect", "most"), [(True, 400), (False, 300)], ids=["known", "unknown"])
def test_what_is_embedded_beside_foreign_vectors_does_not_grow_with_them(
    share: float, suspect: bool, most: int
) -> None:
    made = world(6, count=5_000, share=share, shift=3.0)
    found = audited(made, suspect=suspect)
    assert set(found.rows) == made.rows()
    assert sum(found.embedded.values()) - found.embedded.get("random", 0) - len(found.rows) <= most


def test_pure_index_passes_and_its_certificate_is_as_asked() -> None:
    found = audited(world(2, share=0))
    assert (found.verdict, found.stopped, found.rows) == ("pass", "certified", ())
    assert found.certificate.bound <= 0.05
    assert found.certificate.population == 2_000 - found.examined


def test_lying_metadata_changes_nothing() -> None:
    """Nothing but texts and vectors is looked at: rows may be stamped as they like."""
    made = world(3, share=0.05, shift=3.0)
    found = audited(made, batches=np.zeros(2_000, dtype=np.int64))
    assert set(found.rows) == made.rows()


def test_several_foreign_models_are_found_at_once_and_told_apart() -> None:
    made, more = world(4, count=4_000, share=0.03, shift=3.0), world(5, count=4_000, share=0, shift=1.0)
    second = np.flatnonzero(made.foreign)[::2]
    other = made.other.copy()
    other[second] = more.other[second]
    both = World(made.own, other, made.foreign)
    suspects = {"a": Table(made.other), "b": Table(more.other), "innocent": Table(units(-made.other))}
    found = audit(both.population(), Table(made.own), suspects=suspects, request=LOOSE)
    assert set(found.rows) == made.rows()
    assert found.culprit["a"] + found.culprit["b"] == pytest.approx(1)
    assert found.culprit["innocent"] == 0
    assert set(audit(both.population(), Table(made.own), request=LOOSE).rows) == made.rows()


def test_index_of_another_model_is_refuted_by_a_sample() -> None:
    found = audited(world(6, share=1))
    assert (found.verdict, found.stopped) == ("fail", "refuted")
    assert found.at_least > 0.8
    assert found.embedded == {"reference": 128}


def test_relative_that_no_screen_sees_is_refuted_and_not_searched_row_by_row() -> None:
    made = world(7, count=4_000, share=0.2, shift=0, turn=0.1)
    found = audited(made)
    assert (found.verdict, found.stopped) == ("fail", "refuted")
    assert 0.05 < found.at_least < 0.2
    assert sum(found.embedded.values()) < 1_500


def test_relative_that_fills_ingest_batches_is_found_by_its_batches() -> None:
    made = world(8, count=4_000, share=0, shift=0, turn=0.1)
    batches = np.arange(4_000) // 100
    made.foreign[:] = np.isin(batches, [7, 23])
    found = audited(made, batches=batches, request=AuditRequest(bound=0.01, seed=3))
    assert set(found.rows) == made.rows()
    assert {share.batch: share.foreign for share in found.batches if share.foreign} == {7: 100, 23: 100}


def test_finds_are_told_by_time() -> None:
    made = world(9, share=0, shift=3.0)
    made.foreign[500:600] = True
    times = np.arange(2_000, dtype=np.float64)
    times[::50] = np.nan
    found = audited(made, times=times)
    assert set(found.rows) == made.rows()
    assert sum(share.foreign for share in found.times) == np.isfinite(times[500:600]).sum()
    assert all(share.start < 600 and share.end > 500 for share in found.times if share.foreign)


def test_culprit_is_not_named_when_no_suspect_did_it() -> None:
    made, another = world(10, share=0.05, shift=3.0), world(11)
    found = audit(made.population(), Table(made.own), suspects={"innocent": Table(another.other)}, request=LOOSE)
    assert found.culprit == {"innocent": 0.0}
    assert len(made.rows() - set(found.rows)) / 2_000 <= 0.05


def test_suspect_of_another_size_or_one_that_fails_has_nothing_to_say() -> None:
    def broken(texts: Sequence[str]) -> FloatArray:
        raise EmbeddingError("down")

    made = world(12, share=0.05, shift=3.0)
    suspects = {"small": Table(made.own[:, :8]), "down": broken, "same": Table(made.own)}
    found = audit(made.population(), Table(made.own), suspects=suspects, request=LOOSE)
    assert found.culprit == {"small": 0.0, "down": 0.0, "same": 0.0}
    assert found.certificate.sensitivity == 1.0


# -- the budget -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 7, 60, 150, 700])
@pytest.mark.parametrize("suspect", [True, False], ids=["known", "unknown"])
def test_budget_is_never_passed_and_what_it_did_not_reach_is_unknown(budget: int, suspect: bool) -> None:
    found = audited(world(13, share=0), suspect=suspect, request=AuditRequest(bound=0.001, budget=budget, seed=2))
    assert sum(found.embedded.values()) <= budget
    assert (found.verdict, found.stopped) == ("unknown", "budget")
    assert found.certificate.bound > 0.001


def test_identical_texts_are_embedded_once() -> None:
    made = world(14, count=3_000, share=0)
    texts = [f"t{n % 5}" for n in range(3_000)]
    own = Table(made.own)
    found = audit(Arrays(made.own[np.arange(3_000) % 5], texts), own, request=AuditRequest(bound=0.001, seed=1))
    assert found.verdict == "pass"
    assert sorted(own.asked) == ["t0", "t1", "t2", "t3", "t4"]


def test_same_seed_is_the_same_audit() -> None:
    one, two = (audited(world(15), request=AuditRequest(bound=0.02, seed=9)) for _ in range(2))
    assert one == two


def test_outcome_is_json() -> None:
    made = world(16, share=0.05, shift=3.0)
    found = audited(made, suspect=True, batches=np.arange(2_000) // 500, times=np.arange(2_000.0))
    assert json.loads(json.dumps(dataclasses.asdict(found)))["certificate"]["confidence"] == 0.95


def test_progress_tells_what_was_spent_and_never_goes_back() -> None:
    seen: list[AuditProgress] = []
    made = world(17, share=0.05, shift=3.0)
    audit(made.population(), Table(made.own), request=LOOSE, progress=seen.append)
    assert [one.embedded for one in seen] == sorted(one.embedded for one in seen)
    assert seen[-1].found == len(made.rows())
    assert seen[-1].bound <= 0.05


# -- what is odd ------------------------------------------------------------------------------------------------------


def test_empty_index_holds_nothing_foreign() -> None:
    found = audit(Arrays(np.empty((0, 8), np.float32), []), Table(np.empty((0, 8), np.float32)))
    assert (found.verdict, found.certificate.bound, found.embedded) == ("pass", 0.0, {})


@pytest.mark.parametrize(("share", "verdict"), [(0, "pass"), (1, "fail")])
def test_one_row_is_simply_looked_at(share: float, verdict: str) -> None:
    found = audited(world(18, count=1, share=share))
    assert (found.verdict, found.examined, found.certificate.population) == (verdict, 1, 0)


def test_small_index_is_looked_at_whole() -> None:
    made = world(19, count=50, share=0.1)
    found = audited(made, request=AuditRequest(seed=1))
    assert set(found.rows) == made.rows()
    assert found.certificate.bound == 0


def test_missing_texts_are_unknown_and_named() -> None:
    made = world(20, share=0)
    texts: list[str | None] = [None if n % 100 == 0 else f"t{n}" for n in range(2_000)]
    found = audit(Arrays(made.own, texts), Table(made.own), request=LOOSE)
    assert found.verdict == "unknown"
    [missing] = found.not_examined
    assert (missing.reason, len(missing.rows)) == ("text missing", 20)
    assert found.certificate.population == 2_000 - 20 - found.examined


def test_vectors_that_are_not_finite_or_zero_are_unknown_and_named() -> None:
    made = world(21, share=0)
    stored = made.own.copy()
    stored[3, 1], stored[5], stored[9, 0] = np.nan, 0, np.inf
    found = audit(Arrays(stored, made.texts), Table(made.own), request=LOOSE)
    assert found.verdict == "unknown"
    assert {one.reason: one.rows for one in found.not_examined} == {"vector not finite": (3, 9), "vector zero": (5,)}


def test_texts_that_the_own_embedder_cannot_take_are_unknown_and_count_against_the_bound() -> None:
    made = world(22, share=0)
    silent = made.own.copy()
    silent[::10] = np.nan
    found = audit(Arrays(made.own, made.texts), Table(silent), request=LOOSE)
    assert found.verdict == "unknown"
    assert found.rows == ()
    assert {one.reason for one in found.not_examined} == {"text not embedded"}
    assert found.at_least > 0.05


def test_empty_texts_are_compared_like_any_other() -> None:
    own = open_embedder("hash:64?seed=1")
    texts = ["", " ", *(f"word{n} and word{n * 7}" for n in range(300))]
    vectors = own.embed_documents(texts)
    assert audit(Arrays(vectors, texts), own.embed_documents, request=AuditRequest(seed=1)).verdict == "pass"
    vectors[0] = vectors[1]
    assert audit(Arrays(vectors, texts), own.embed_documents, request=AuditRequest(seed=1)).rows == (0,)


def test_lengths_of_vectors_do_not_matter() -> None:
    made = world(23, count=4_000, share=0.03, shift=3.0)
    stored = made.stored * np.random.default_rng(0).uniform(0.1, 30, (4_000, 1)).astype(np.float32)
    found = audit(Arrays(stored, made.texts), Table(made.own), request=LOOSE)
    assert set(found.rows) == made.rows()


def test_embedder_of_another_dimension_is_refused() -> None:
    made = world(24)
    with pytest.raises(UsageError, match="32 dimensions, the embedder makes 8"):
        audit(made.population(), Table(made.own[:, :8]))


# -- storage and noise ------------------------------------------------------------------------------------------------


def _by_row(vectors: FloatArray) -> FloatArray:
    scale = np.abs(vectors).max(axis=1, keepdims=True) / 127
    return np.asarray(np.rint(vectors / scale) * scale, dtype=np.float32)


def _by_column(vectors: FloatArray) -> FloatArray:
    low, step = vectors.min(axis=0), np.ptp(vectors, axis=0) / 255
    return np.asarray(np.rint((vectors - low) / step) * step + low, dtype=np.float32)


def _bfloat16(vectors: FloatArray) -> FloatArray:
    return (vectors.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


STORED: dict[str, Callable[[FloatArray], FloatArray]] = {
    "float16": lambda v: v.astype(np.float16).astype(np.float32),
    "bfloat16": _bfloat16,
    "int8 by row": _by_row,
    "int8 by column": _by_column,
}


@pytest.mark.parametrize("name", STORED)
def test_rounded_storage_is_no_foreign_model_and_hides_none(name: str) -> None:
    pure = world(25, count=3_000, dimension=64, share=0)
    found = audit(Arrays(STORED[name](pure.stored), pure.texts), Table(pure.own), request=LOOSE)
    assert (found.verdict, found.storage) == ("pass", name)
    mixed = world(25, count=3_000, dimension=64, share=0.05, shift=3.0)
    found = audit(Arrays(STORED[name](mixed.stored), mixed.texts), Table(mixed.own), request=LOOSE)
    assert set(found.rows) == mixed.rows()


def test_code_words_of_a_quantiser_are_unknown() -> None:
    made = world(26, count=3_000, share=0)
    codes = np.quantile(made.own, np.linspace(0, 1, 12))
    stored = codes[np.abs(made.own[:, :, None] - codes).argmin(axis=2)]
    found = audit(Arrays(stored, made.texts), Table(made.own), request=LOOSE)
    assert (found.verdict, found.storage, found.stopped) == ("unknown", "codes", "lossy")


def test_noise_of_the_own_model_is_no_foreign_model_and_hides_none() -> None:
    """A model whose rounding depends on the company in which a text is embedded, twice as much as the floor allows."""
    random = np.random.default_rng(0)

    class Noisy(Table):
        def __call__(self, texts: Sequence[str]) -> FloatArray:
            made = super().__call__(texts)
            return units(made + 0.02 * units(random.normal(size=made.shape)))

    pure = world(27, share=0)
    found = audit(pure.population(), Noisy(pure.own), request=LOOSE)
    assert found.verdict == "pass"
    assert found.embedded["calibration"] <= 16
    mixed = world(27, share=0.05, shift=3.0)
    assert set(audit(mixed.population(), Noisy(mixed.own), request=LOOSE).rows) == mixed.rows()


def test_a_budget_too_small_to_measure_noise_is_unknown_and_no_alarm() -> None:
    made = world(28, share=0)
    random = np.random.default_rng(0)
    near = units(made.own + 0.02 * units(random.normal(size=made.own.shape)))
    found = audit(Arrays(near, made.texts), Table(made.own), request=AuditRequest(budget=1, seed=1))
    assert (found.verdict, found.rows) == ("unknown", ())
    assert found.not_examined[0].reason == "budget spent before it was told from noise"
