"""What gates look at: each thing measured when the first gate asks for it, and once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from vecrollback.catalog import Catalog
from vecrollback.errors import VecrollbackError
from vecrollback.quality.evaluation import Quality
from vecrollback.quality.evaluation.metrics import judged_values, means, rank_biased_overlap
from vecrollback.records import GoldenQuery, Latency, Pair, Report
from vecrollback.records.results import overlap
from vecrollback.switching.gates.grammar import Gate


class UnknownError(Exception):
    """Something cannot be measured; the message says why. Never leaves this package."""


class NothingLiveError(Exception):
    """There is no live pair to compare with."""


class GateEvidence:
    """Of one pair, and of the live one where a gate compares with it."""

    def __init__(
        self,
        catalog: Catalog,
        quality: Quality,
        pair: Pair,
        live: str,
        report: Report | None,
        gates: Sequence[Gate],
        head: int | None = None,
    ) -> None:
        self._head = head
        self._catalog, self._quality = catalog, quality
        self._pair, self._live, self._report = pair, live, report
        self._depth = max((gate.k for gate in gates), default=10)
        self._answers: dict[str, list[list[str]]] = {}
        self._timed: dict[str | None, list[Latency]] = {}

    # -- golden queries -----------------------------------------------------------------------------------------------

    @cached_property
    def golden(self) -> list[GoldenQuery]:
        return self._catalog.golden.all()

    def judged(self, gate: Gate) -> tuple[float, int]:
        """The pair's mean of a measure against judgements, and over how many queries."""
        return self._mean(self._pair.name, gate)

    def judged_of_live(self, gate: Gate) -> float:
        return self._mean(self._live_name(), gate)[0]

    def alike(self, gate: Gate) -> tuple[float, int]:
        """Mean likeness of the pair's answers to the live pair's."""
        chosen = self._chosen(gate)
        compare = overlap if gate.measure.startswith("overlap") else rank_biased_overlap
        both = zip(self._ranked(self._live_name(), chosen), self._ranked(self._pair.name, chosen), strict=True)
        values = [compare(a[: gate.k], b[: gate.k]) for a, b in both]
        return sum(values) / len(values), len(values)

    def latency(self, gate: Gate) -> tuple[float, int]:
        return _quantile(self._latencies(gate)[0], gate), len(self._chosen(gate))

    def latency_of_live(self, gate: Gate) -> float:
        self._live_name()
        return _quantile(self._latencies(gate)[-1], gate)

    def absent(self, gate: Gate) -> int:
        """Documents that the gate's queries expect and the corpus does not hold."""
        return self._quality.absent(self._chosen(gate))

    def _mean(self, name: str, gate: Gate) -> tuple[float, int]:
        chosen = [query for query in self._chosen(gate) if query.judged]
        if not chosen:
            raise UnknownError(
                "none of the golden queries names a right document: `vecrollback golden add --expect ID`"
            )
        measure = gate.measure.partition("@")[0]
        return means(judged_values(chosen, self._ranked(name, chosen), gate.k, [measure]))[gate.measure], len(chosen)

    def _chosen(self, gate: Gate) -> list[GoldenQuery]:
        chosen = [query for query in self.golden if gate.tag is None or gate.tag in query.tags]
        if not chosen:
            tagged = f" with the tag {gate.tag!r}" if gate.tag else ""
            raise UnknownError(
                f"there is no golden query{tagged}: `vecrollback golden add`, `vecrollback golden import`"
            )
        return chosen

    def _ranked(self, name: str, chosen: Sequence[GoldenQuery]) -> list[list[str]]:
        if name not in self._answers:
            with _Unknown(f"pair {name!r} cannot be asked"):
                [self._answers[name]] = self._quality.rankings([name], self.golden, self._depth)
        by_id = dict(zip((query.id for query in self.golden), self._answers[name], strict=True))
        return [by_id[query.id] for query in chosen]

    def _latencies(self, gate: Gate) -> list[Latency]:
        """Of the pair and of the live one, asked in turns: only so can they be compared."""
        names = [self._pair.name, *([self._live] if self._live else [])]
        if gate.tag not in self._timed:
            with _Unknown("the pairs cannot be asked"):
                self._timed[gate.tag] = self._quality.latencies(names, self._chosen(gate), gate.k)
        return self._timed[gate.tag]

    def _live_name(self) -> str:
        if not self._live:
            raise NothingLiveError
        return self._live

    # -- the check and the log ----------------------------------------------------------------------------------------

    def index_recall(self) -> float:
        found = self._examined().examined.get("recall@10")
        if found is None:
            raise UnknownError("the check did not measure the index")
        return float(found)

    def purity(self, gate: Gate) -> float:
        """Share of foreign vectors that the check's certificate allows."""
        proof = self._examined().certificate
        if proof is None:
            raise UnknownError("the check ended without a certificate")
        if proof.confidence < gate.confidence:
            wanted = (
                f"`vecrollback check {self._pair.name} --bound {gate.value:.6g} --confidence {gate.confidence:.6g}`"
            )
            raise UnknownError(f"the check's certificate holds at {proof.confidence:.4g} only: {wanted}")
        return proof.bound

    @property
    def caught_up(self) -> bool:
        """Whether the pair was caught up for this very judgement."""
        return self._head is not None

    def lag(self) -> tuple[int, int]:
        """How many changes the pair lacks of those that it was to take in, and how many came after those.

        While somebody writes a pair is never caught up with the newest change: the check alone takes minutes. What a
        promote can ask for is that its catch-up took in everything that there was when it began.
        """
        newest, watermark = self._catalog.ledger.state().head, self._catalog.pairs.get(self._pair.name).watermark
        head = newest if self._head is None else self._head
        return max(0, head - watermark), newest - max(head, watermark)

    def _examined(self) -> Report:
        found = self._report
        if found is None or (found.snapshot, found.watermark) != (self._pair.snapshot, self._pair.watermark):
            said = (
                f"the newest full check is of another state, {found.pair}@{found.snapshot}"
                if found
                else "no full check"
            )
            raise UnknownError(f"{said}: `vecrollback check {self._pair.name}`")
        return found


class _Unknown:
    """Turns whatever goes wrong inside into something that is not known."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, VecrollbackError | OSError | ImportError):
            raise UnknownError(f"{self._what}: {error}") from error


def _quantile(latency: Latency, gate: Gate) -> float:
    return latency.p50 if gate.measure == "p50" else latency.p99
