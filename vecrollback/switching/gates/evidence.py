"""Evidence for gates. Each value is measured once, when the first gate asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from vecrollback.catalog import Catalog
from vecrollback.errors import VecrollbackError
from vecrollback.quality.evaluation import Quality
from vecrollback.quality.evaluation.metrics import judged_values, means, rank_biased_overlap
from vecrollback.records import GoldenQuery, Latency, Pair, Report, SearchMode
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
        mode: SearchMode = "vector",
    ) -> None:
        self._head, self._mode = head, mode
        self._catalog, self._quality = catalog, quality
        self._pair, self._live, self._report = pair, live, report
        self._depth = max((gate.k for gate in gates), default=10)
        self._answers: dict[str, list[list[str]]] = {}
        self._latencies_by_tag: dict[str | None, list[Latency]] = {}

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
        queries = self._queries_of(gate)
        compare = overlap if gate.measure.startswith("overlap") else rank_biased_overlap
        both = zip(self._rankings(self._live_name(), queries), self._rankings(self._pair.name, queries), strict=True)
        values = [compare(a[: gate.k], b[: gate.k]) for a, b in both]
        return sum(values) / len(values), len(values)

    def latency(self, gate: Gate) -> tuple[float, int]:
        return _quantile(self._latencies(gate)[0], gate), len(self._queries_of(gate))

    def latency_of_live(self, gate: Gate) -> float:
        self._live_name()
        return _quantile(self._latencies(gate)[-1], gate)

    def absent(self, gate: Gate) -> int:
        """Documents that the gate's queries expect and the corpus does not hold."""
        return self._quality.absent(self._queries_of(gate))

    def _mean(self, name: str, gate: Gate) -> tuple[float, int]:
        queries = [query for query in self._queries_of(gate) if query.judged]
        if not queries:
            raise UnknownError(
                "none of the golden queries names a right document: `vecrollback golden add --expect ID`"
            )
        measure = gate.measure.partition("@")[0]
        return means(judged_values(queries, self._rankings(name, queries), gate.k, [measure]))[gate.measure], len(
            queries
        )

    def _queries_of(self, gate: Gate) -> list[GoldenQuery]:
        queries = [query for query in self.golden if gate.tag is None or gate.tag in query.tags]
        if not queries:
            suffix = f" with the tag {gate.tag!r}" if gate.tag else ""
            raise UnknownError(
                f"there is no golden query{suffix}: `vecrollback golden add`, `vecrollback golden import`"
            )
        return queries

    def _rankings(self, name: str, queries: Sequence[GoldenQuery]) -> list[list[str]]:
        if name not in self._answers:
            with _Unknown(f"pair {name!r} cannot be asked"):
                [self._answers[name]] = self._quality.rankings([name], self.golden, self._depth, self._mode)
        # All golden queries were asked at once, for all gates; a gate with a tag takes its own out of them.
        by_id = dict(zip((query.id for query in self.golden), self._answers[name], strict=True))
        return [by_id[query.id] for query in queries]

    def _latencies(self, gate: Gate) -> list[Latency]:
        """Of the pair and of the live one, asked in turns: only so can they be compared."""
        names = [self._pair.name, *([self._live] if self._live else [])]
        if gate.tag not in self._latencies_by_tag:
            with _Unknown("the pairs cannot be asked"):
                queries = self._queries_of(gate)
                self._latencies_by_tag[gate.tag] = self._quality.latencies(names, queries, gate.k, self._mode)
        return self._latencies_by_tag[gate.tag]

    def _live_name(self) -> str:
        if not self._live:
            raise NothingLiveError
        return self._live

    # -- the check and the log ----------------------------------------------------------------------------------------

    def index_recall(self) -> float:
        recall = self._current_report().examined.get("recall@10")
        if recall is None:
            raise UnknownError("the check did not measure the index")
        return float(recall)

    def purity(self, gate: Gate) -> float:
        """Share of foreign vectors that the check's certificate allows."""
        proof = self._current_report().certificate
        if proof is None:
            raise UnknownError("the check ended without a certificate")
        if proof.confidence < gate.confidence:
            command = (
                f"`vecrollback check {self._pair.name} --bound {gate.value:.6g} --confidence {gate.confidence:.6g}`"
            )
            raise UnknownError(f"the check's certificate holds at {proof.confidence:.4g} only: {command}")
        return proof.bound

    @property
    def caught_up(self) -> bool:
        """Whether a catch-up was run for this judgement."""
        return self._head is not None

    def lag(self) -> tuple[int, int]:
        """Changes that the pair lacks up to the head of its catch-up, and changes that were written after that head.

        While somebody writes, a pair never reaches the newest change: the check alone takes minutes. A promote can only
        demand that the catch-up applied every change that existed when it began.
        """
        newest, watermark = self._catalog.ledger.state().head, self._catalog.pairs.get(self._pair.name).watermark
        head = newest if self._head is None else self._head
        return max(0, head - watermark), newest - max(head, watermark)

    def _current_report(self) -> Report:
        report = self._report
        # A report speaks of one snapshot and watermark. For a pair that has moved on since, it proves nothing.
        if report is None or (report.snapshot, report.watermark) != (self._pair.snapshot, self._pair.watermark):
            reason = (
                f"the newest full check is of another state, {report.pair}@{report.snapshot}"
                if report
                else "no full check"
            )
            raise UnknownError(f"{reason}: `vecrollback check {self._pair.name}`")
        return report


class _Unknown:
    """Turns an error inside the block into UnknownError: what cannot be measured is not a failure (law 10)."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, VecrollbackError | OSError | ImportError):
            raise UnknownError(f"{self._what}: {error}") from error


def _quantile(latency: Latency, gate: Gate) -> float:
    return latency.p50 if gate.measure == "p50" else latency.p99
