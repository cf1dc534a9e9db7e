"""Numbers for Prometheus: of queries from every worker, of pairs from the catalog at the moment of asking."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from vecrollback.errors import VecrollbackError
from vecrollback.records import LIVE, Json, LineState, Result, Situation, Switched
from vecrollback.store.store import Store

_log = logging.getLogger(__name__)
_PERFORMANCE = {
    "rollbacks": "Rollbacks",
    "success_rate": "Share of rollbacks that every searcher followed and whose check passed",
    "mttd_seconds": "Mean time from the promote of a bad pair to its detection",
    "mttr_seconds": "Mean time from detection to the last searcher's acknowledgement",
    "answers_by_bad_pairs": "Queries answered by pairs that were rolled back from",
    "drill_rate": "Share of drills that passed",
    "drilled_rate": "Share of promotes whose way back was rehearsed",
}
_STATES = get_args(LineState)
_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SCORES = tuple(round(-0.2 + 0.1 * n, 1) for n in range(13))
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts what one process sees. With several, each writes to a file that all can read and sum.

    Labels are pairs and classes of errors: few, and none of them comes from a request.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._seconds = self._histogram("query_seconds", "From a query's arrival to its answer", _LATENCY, "pair")
        self._queries = self._counter("queries", "Queries answered", "pair")
        self._stale = self._counter("stale_answers", "Answers with a hit whose document has changed", "pair")
        self._outdated = self._counter("outdated_answers", "Answers given while the catalog could not be read")
        self._doubted = self._counter("doubted_answers", "Answers given while the model failed its probes", "pair")
        by = "Answers given while the live pair's model did not answer, by what gave them"
        self._instead = self._counter("fallback_answers", by, "pair", "by")
        self._scores = self._histogram("best_score", "Score of the first hit", _SCORES, "pair")
        self._errors = self._counter("query_errors", "Queries that got an error", "type")
        self._batch = self._histogram("batch_queries", "Queries answered by one call", _BATCHES)
        self._switch = self._histogram(
            "switch_seconds", "From the decision to the last searcher's first right answer", _LATENCY, "kind"
        )

    def answered(self, results: Sequence[Result], seconds: float) -> None:
        """Note the answers of one request."""
        if not results:
            return
        pair = results[0].pair
        self._seconds.labels(pair).observe(seconds)
        self._queries.labels(pair).inc(len(results))
        for result in results:
            if result.hits:
                self._scores.labels(pair).observe(result.hits[0].score)
            if any(hit.stale for hit in result.hits):
                self._stale.labels(pair).inc()
            if not result.current:
                self._outdated.inc()
            if result.answered_by != "pair":
                self._instead.labels(pair, result.answered_by).inc()
            if result.doubt:
                self._doubted.labels(pair).inc()

    def failed(self, error: Exception) -> None:
        self._errors.labels(type(error).__name__).inc()

    def batched(self, queries: int) -> None:
        self._batch.observe(queries)

    def switched(self, outcome: Switched) -> None:
        """Note a move of `live`."""
        self._switch.labels(outcome.move.kind).observe(outcome.switch_ms / 1000)

    def page(self, store: Store, situation: Situation) -> bytes:
        """Everything, in Prometheus' text format. Reads the catalog and, with several workers, their files.

        While the catalog cannot be read, what the queries say and the lines of the situation are there all the same.
        """
        several = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        query_registry = CollectorRegistry() if several else self._registry
        if several:
            MultiProcessCollector(query_registry)  # type: ignore[no-untyped-call]
        catalog_registry = CollectorRegistry()
        catalog_registry.register(_CatalogFigures(store, situation))
        return bytes(generate_latest(query_registry)) + bytes(generate_latest(catalog_registry))

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(name, help_, labels, namespace="vecrollback", registry=self._registry)

    def _histogram(self, name: str, help_: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, help_, labels, namespace="vecrollback", registry=self._registry, buckets=buckets)


class _CatalogFigures:
    """Figures from the catalog, as gauges. Every worker reads the same ones."""

    def __init__(self, store: Store, situation: Situation) -> None:
        self._store, self._situation = store, situation

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        lines = {(line.name, state): int(line.state == state) for line in self._situation.lines for state in _STATES}
        yield _gauge("situation", "1 for the state of each line of the situation", ["line", "state"], lines)
        yield _gauge("well", "1 when every line of the situation is ok", [], {(): int(self._situation.state == "ok")})
        try:
            yield from self._of_status()
        except VecrollbackError as error:
            _log.warning("numbers of the catalog are missing: %s", error)

    def _of_status(self) -> Iterator[Metric]:
        status = self._store.status()
        yield _gauge("epoch", "Moves of an alias", ["alias"], {(n,): a["epoch"] for n, a in status["alias"].items()})
        yield _gauge("documents", "Live documents", [], {(): status["corpus"]["documents"]})
        yield _gauge("head", "Last change of the corpus", [], {(): status["corpus"]["head"]})
        yield _gauge("searchers", "Processes that serve", [], {(): len(status["searchers"])})
        yield from self._of_pairs(status["pairs"])
        try:
            yield from self._of_operations()
        except VecrollbackError as error:  # the rest of the page is worth having without them
            _log.warning("numbers of incidents and policy are missing: %s", error)

    def _of_operations(self) -> Iterator[Metric]:
        performance = self._store.incidents.performance(days=30.0, settle=False)
        yield _gauge("incidents_open", "Incidents that nobody closed", [], {(): len(performance.open_incidents)})
        for name, sentence in _PERFORMANCE.items():
            value = getattr(performance, name)
            yield _gauge(name, f"{sentence}, in 30 days", [], {} if value is None else {(): value})
        standing = self._store.measurements.standing(LIVE)
        phases = {(one["metric"], one["phase"]): 1 for one in standing}
        yield _gauge("policy_phase", "1 for what the last measurement was", ["metric", "phase"], phases)
        values = {(one["metric"],): one["value"] for one in standing if one["value"] is not None}
        yield _gauge("policy_value", "The last measurement", ["metric"], values)
        yield _gauge("frozen", "Whether automation is held back", [], {(): int(bool(self._store.freezes.current()))})

    def _of_pairs(self, pairs: list[dict[str, Json]]) -> Iterator[Metric]:
        yield _gauge("pair_lag", "Changes a pair has not taken in", ["pair"], {(p["name"],): p["lag"] for p in pairs})
        states = {(p["name"], p["state"]): 1 for p in pairs}
        yield _gauge("pair_state", "1 for the state a pair is in", ["pair", "state"], states)
        bounds: dict[tuple[str], float] = {}
        verdicts: dict[tuple[str], float] = {}
        for name in (p["name"] for p in pairs):
            if report := self._store.report(name):
                verdicts[(name,)] = int(report.verdict == "pass")
                if report.certificate:
                    bounds[(name,)] = report.certificate.bound
        said = {"pass": 1, "fail": 0}
        answers = {(p["name"],): said[p["model"]["answers"]] for p in pairs if p["model"]["answers"] in said}
        yield _gauge("model_answers", "Whether a pair's model answered when it was asked lately", ["pair"], answers)
        kept = {(p["name"],): p["model"]["kept_bytes"] for p in pairs if p["model"]["kept_bytes"] is not None}
        yield _gauge("model_kept_bytes", "Size of the model's files that the store keeps", ["pair"], kept)
        yield _gauge("pair_foreign_bound", "Most foreign vectors the last check leaves room for", ["pair"], bounds)
        yield _gauge("pair_check_passed", "Whether the last check passed", ["pair"], verdicts)


def _gauge(name: str, help_: str, labels: list[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"vecrollback_{name}", help_, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
