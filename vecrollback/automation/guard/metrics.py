"""Measuring what the metrics of a policy ask for. What cannot be measured is no value, with the reason why."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import numpy as np

from vecrollback.automation.guard.evaluation import Reading, Situation
from vecrollback.automation.guard.pair_answers import Fact, PairAnswers
from vecrollback.automation.guard.statistics import along, apart, ks, lower, psi
from vecrollback.automation.guard.traffic import Sample, Traffic
from vecrollback.automation.operated_store import OperatedStore
from vecrollback.errors import UnknownNameError, UnreachableError, VecrollbackError
from vecrollback.records import Result
from vecrollback.switching.policy import Policy, Rule

_log = logging.getLogger(__name__)
_PROBE = "is anybody there"
_NOTHING = Reading(None, 0)
Baseline = Mapping[str, Any]


_ENOUGH = 60
"""Queries that a baseline needs at least."""
_LATENCY_SECONDS = 600.0
_PROMETHEUS_SECONDS = 5.0


class MetricReader:
    """Measures one metric at a time. `asked` remembers what was asked of pairs."""

    def __init__(
        self,
        store: OperatedStore,
        policy: Policy,
        traffic: Traffic,
        asked: PairAnswers,
        search: Callable[[str], Result],
    ) -> None:
        self._store, self._policy, self._traffic, self._asked, self._search = store, policy, traffic, asked, search
        self._chosen: tuple[int, list[str]] = (0, [])

    def read(self, rule: Rule, now: Situation, baseline: Baseline | None) -> Reading:
        """The metric's value at this moment. Raises nothing."""
        try:
            measure = getattr(self, f"_{rule.source}")
            reading: Reading = measure(rule, now, baseline)
            return reading
        except (VecrollbackError, OSError, ValueError) as error:
            _log.info("metric %s cannot be measured: %s", rule.name, error)
            return replace(_NOTHING, said=str(error))

    def baseline(self, now: Situation) -> dict[str, Any] | None:
        """What the live pair is measured by from now on; None until enough queries were seen.

        The queries that came before the move count, asked again of the pair that is live now: they are what it was
        promoted for. Without them the first that come after it.
        """
        if self._chosen[0] != now.epoch:  # once: traffic that is fast enough would bring others every time
            samples = self._traffic.samples(self._policy.window)
            queries = list(dict.fromkeys(one.query for one in reversed(samples)))[: self._policy.samples]
            if len(queries) < _ENOUGH:
                return None
            self._chosen = now.epoch, queries
        facts = self._asked.on(self._chosen[1], now.pair)
        known = [fact for fact in facts.values() if fact.best is not None]
        if len(facts) < len(self._chosen[1]) or len(known) < _ENOUGH:
            return None
        vectors = np.stack([fact.vector for fact in known])
        directions = self._asked.directions(now.pair)
        volume = self._traffic.volume(_LATENCY_SECONDS, now.epoch)
        return {
            "queries": len(known),
            "scores": [fact.best for fact in known],
            "axes": directions.tolist(),
            "along": along(vectors, directions).tolist(),
            "golden": self._golden_value(now.pair),
            "latency": volume.p99,
        }

    # -- immediate ----------------------------------------------------------------------------------------------------

    def _error_rate(self, rule: Rule, now: Situation, _: Baseline | None) -> Reading:
        volume = self._traffic.volume(rule.window, now.epoch)
        total = volume.answers + volume.errors
        return Reading(volume.errors / total, total) if total else _NOTHING

    def _latency(self, rule: Rule, now: Situation, _: Baseline | None) -> Reading:
        volume, objective = self._traffic.volume(rule.window, now.epoch), self._policy.objectives.latency
        if volume.p99 is None or objective is None:
            return _NOTHING
        return Reading(volume.p99 / objective, volume.answers, said=f"p99 {volume.p99 * 1000:.1f} ms")

    def _health(self, rule: Rule, now: Situation, baseline: Baseline | None) -> Reading:  # noqa: ARG002
        try:
            self._search(_PROBE)
        except UnknownNameError:
            return _NOTHING
        except (VecrollbackError, OSError) as error:
            return Reading(0.0, said=str(error))
        return Reading(1.0)

    # -- rapid --------------------------------------------------------------------------------------------------------

    def _standout(self, rule: Rule, now: Situation, _: Baseline | None) -> Reading:
        both = self._both(rule, now)
        if both is None:
            return replace(_NOTHING, said="no pair stands by")
        live, standby = ([fact.standout for fact in facts if fact.standout is not None] for facts in both)
        if min(len(live), len(standby)) < 2:
            return _NOTHING
        found = lower(np.asarray(standby), np.asarray(live))
        return Reading(found.value, min(len(live), len(standby)), found.p)

    def _overlap(self, rule: Rule, now: Situation, _: Baseline | None) -> Reading:
        both = self._both(rule, now)
        if both is None:
            return replace(_NOTHING, said="no pair stands by")
        shares = [len({*a.ids} & {*b.ids}) / max(len(a.ids), len(b.ids), 1) for a, b in zip(*both, strict=True)]
        return Reading(float(np.mean(shares)), len(shares)) if shares else _NOTHING

    def _scores(self, rule: Rule, now: Situation, baseline: Baseline | None) -> Reading:
        best = [one.best for one in self._samples(rule, now) if one.best is not None]
        if baseline is None or len(best) < 2:
            return _NOTHING
        found = (psi if rule.statistic == "psi" else ks)(np.asarray(baseline["scores"]), np.asarray(best))
        return Reading(found.value, len(best), found.p)

    def _queries(self, rule: Rule, now: Situation, baseline: Baseline | None) -> Reading:
        facts = list(self._asked.on(self._texts(rule, now), now.pair).values())
        if baseline is None or len(facts) < 2:
            return _NOTHING
        vectors = np.stack([fact.vector for fact in facts])
        directions = np.asarray(baseline["axes"], dtype=np.float32)
        found = apart(np.asarray(baseline["along"]), along(vectors, directions), rule.statistic)
        return Reading(found.value, len(facts), found.p)

    # -- business -----------------------------------------------------------------------------------------------------

    def _prometheus(self, rule: Rule, now: Situation, _: Baseline | None) -> Reading:  # noqa: ARG002
        value = query_prometheus(rule.address, rule.query)
        return _NOTHING if value is None else Reading(value)

    def _pushed(self, rule: Rule, now: Situation, _: Baseline | None) -> Reading:
        # What was pushed before the move says nothing of the pair that serves now.
        values = self._store.measurements.pushed(rule.key, max(time.time() - rule.window, now.moved_at))
        return Reading(sum(values) / len(values), len(values)) if values else _NOTHING

    # -- delayed ------------------------------------------------------------------------------------------------------

    def _golden(self, rule: Rule, now: Situation, baseline: Baseline | None) -> Reading:  # noqa: ARG002
        before = (baseline or {}).get("golden")
        value = self._golden_value(now.pair) if before else None
        return Reading(value / before, len(self._store.golden.list())) if value is not None and before else _NOTHING

    def _purity(self, rule: Rule, now: Situation, _: Baseline | None) -> Reading:  # noqa: ARG002
        report = self._store.report(now.pair)
        return Reading(report.certificate.bound) if report and report.certificate else _NOTHING

    def _lag(self, rule: Rule, now: Situation, _: Baseline | None) -> Reading:  # noqa: ARG002
        return Reading(float(self._store.lag(now.pair)))

    def _cost(self, rule: Rule, now: Situation, _: Baseline | None) -> Reading:  # noqa: ARG002
        since = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=rule.window)).isoformat()
        spent = [job.progress.get("tokens", 0) for job in self._store.jobs() if job.updated_at >= since]
        return Reading(float(sum(spent)))

    # -- shared -------------------------------------------------------------------------------------------------------

    def _samples(self, rule: Rule, now: Situation) -> list[Sample]:
        return [one for one in self._traffic.samples(rule.window) if one.epoch >= now.epoch]

    def _texts(self, rule: Rule, now: Situation) -> Sequence[str]:
        """Distinct sampled queries, the newest first."""
        newest = dict.fromkeys(one.query for one in reversed(self._samples(rule, now)))
        return list(newest)[: self._policy.samples]

    def _both(self, rule: Rule, now: Situation) -> tuple[list[Fact], list[Fact]] | None:
        """What the live pair and the standby answer to the same queries."""
        standby = next((pair.name for pair in self._store.pairs() if pair.state == "standby"), None)
        if standby is None:
            return None
        texts = self._texts(rule, now)
        live, other = (self._asked.on(texts, pair) for pair in (now.pair, standby))
        known = [query for query in live if query in other]
        return [live[query] for query in known], [other[query] for query in known]

    def _golden_value(self, pair: str) -> float | None:
        """Mean nDCG@10 over the golden queries that are judged; None without one, or without the package for it."""
        from vecrollback.errors import MissingDependencyError
        from vecrollback.quality.evaluation.metrics import judged_values

        judged = [query for query in self._store.golden.list() if query.judged]
        if not judged:
            return None
        try:
            [rankings] = self._store.quality.rankings([pair], judged, 10)
            values = judged_values(judged, rankings, 10, ["ndcg"])
        except (MissingDependencyError, ImportError):
            return None
        return sum(one["ndcg@10"] for one in values) / len(values)


def query_prometheus(address: str, promql: str) -> float | None:
    """The value of an instant query: a scalar, or a vector of one element; None for an empty one.

    Raises UnreachableError for no answer, for an error, and for several elements, of which none is the value.
    """
    try:
        answer = httpx.get(f"{address.rstrip('/')}/api/v1/query", params={"query": promql}, timeout=_PROMETHEUS_SECONDS)
        body: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnreachableError(f"Prometheus at {address} gave no answer: {error}") from error
    if body.get("status") != "success":
        raise UnreachableError(f"Prometheus at {address}: {body.get('error', answer.status_code)}")
    kind, result = body["data"]["resultType"], body["data"]["result"]
    if kind == "scalar":
        return float(result[1])
    if kind != "vector" or len(result) > 1:
        raise UnreachableError(
            f"{promql!r} gives {kind} of {len(result)} elements, not one value", hint="aggregate it: sum(...), avg(...)"
        )
    return float(result[0]["value"][1]) if result else None
