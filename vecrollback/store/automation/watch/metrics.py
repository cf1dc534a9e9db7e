"""Measures the metrics of a policy. What cannot be measured has no value, and says why."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx
import numpy as np

from vecrollback.errors import NoRollbackTargetError, UnreachableError
from vecrollback.pairs.model_answers import ask_model
from vecrollback.records import ANSWER_SECONDS, Result, Sample
from vecrollback.storage.trust import require_no_link_local
from vecrollback.store.automation.operated_store import OperatedStore
from vecrollback.store.automation.watch.evaluation import LiveState, Reading, finite
from vecrollback.store.automation.watch.pair_answers import Fact, PairAnswers
from vecrollback.store.automation.watch.statistics import along, apart, ks, lower, psi
from vecrollback.store.automation.watch.traffic import Traffic
from vecrollback.switching.policy import Policy, Rule

_log = logging.getLogger(__name__)
_PROBE = "is anybody there"
NOTHING = Reading(None, 0)
"""The reading of what cannot be measured now."""
Baseline = Mapping[str, Any]


_ENOUGH = 60
"""Queries that a baseline needs at least."""
_LATENCY_SECONDS = 600.0
_PROMETHEUS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Moment:
    """What a metric is measured from: the rule that asks, and what stands at this moment.

    `baseline`: what the live pair is measured by since its promote; None until there is one.
    """

    rule: Rule
    now: LiveState
    baseline: Baseline | None


Measure = Callable[["MetricReader", Moment], Reading]
METRICS: dict[str, Measure] = {}
"""How each source of a policy is measured, by its name in `vecrollback.switching.policy.model.SOURCES`."""


SAMPLED = frozenset({"standout", "overlap", "scores", "queries"})
"""Sources that see some queries in full, not all of them."""


def metric(source: str) -> Callable[[Measure], Measure]:
    """Register what measures a source.

    Args:
        source: Its name in `SOURCES`, which says what its values are and what they may lead to.

    Returns:
        A decorator. What it decorates takes a MetricReader and a Moment and returns a Reading: the value, of how many
        answers or queries, and the probability of such a difference by chance where there is one. `NOTHING` is the
        reading of what cannot be measured now; whatever it raises is one.
    """

    def register(measure: Measure) -> Measure:
        if source in METRICS:
            raise ValueError(f"the metric {source!r} is measured twice")
        METRICS[source] = measure
        return measure

    return register


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
        self.store, self.policy, self.traffic, self.asked, self.search = store, policy, traffic, asked, search
        self._baseline_queries: tuple[int, list[str]] = (0, [])

    def read(self, rule: Rule, now: LiveState, baseline: Baseline | None) -> Reading:
        """The metric's value at this moment. Raises nothing."""
        try:
            reading = finite(METRICS[rule.source](self, Moment(rule, now, baseline)))
            return replace(reading, said=self._coverage(rule, now, reading.said)) if rule.source in SAMPLED else reading
        except Exception as error:  # whatever it is, the other metrics are measured, and one of them may be failing
            _log.info("metric %s cannot be measured: %s", rule.name, error)
            return replace(NOTHING, said=str(error) or type(error).__name__)

    def _coverage(self, rule: Rule, now: LiveState, sentence: str) -> str:
        """What a metric that looks at samples says, and of how many queries it saw how many."""
        seen = len(self.samples(rule, now))
        answers = max(seen, self.traffic.volume(rule.window, now.epoch).answers)  # what was counted a moment before
        coverage = f"sampled {seen} of {answers} queries"
        if len(hosts := self.traffic.hosts()) > 1:
            coverage += f" on {len(hosts)} hosts"
        return f"{sentence}; {coverage}" if sentence else coverage

    def baseline(self, now: LiveState) -> dict[str, Any] | None:
        """What the live pair is measured by from now on; None until enough queries were seen.

        The queries that came before the move count, asked again of the pair that is live now: they are what it was
        promoted for. Without them the first that come after it.
        """
        if self._baseline_queries[0] != now.epoch:  # once: traffic that is fast enough would bring others every time
            samples = self.traffic.samples(self.policy.window)
            queries = list(dict.fromkeys(one.query for one in reversed(samples)))[: self.policy.samples]
            if len(queries) < _ENOUGH:
                return None
            self._baseline_queries = now.epoch, queries
        facts = self.asked.on(self._baseline_queries[1], now.pair)
        with_hits = [fact for fact in facts.values() if fact.best is not None]
        if len(facts) < len(self._baseline_queries[1]) or len(with_hits) < _ENOUGH:
            return None
        vectors = np.stack([fact.vector for fact in with_hits])
        directions = self.asked.directions(now.pair)
        volume = self.traffic.volume(_LATENCY_SECONDS, now.epoch)
        return {
            "queries": len(with_hits),
            "scores": [fact.best for fact in with_hits],
            "axes": directions.tolist(),
            "along": along(vectors, directions).tolist(),
            "golden": self.golden_value(now.pair),
            "latency": volume.p99,
        }

    def samples(self, rule: Rule, now: LiveState) -> list[Sample]:
        """Sampled queries of the rule's window that the live pair answered since it is live."""
        return [one for one in self.traffic.samples(rule.window) if one.epoch >= now.epoch]

    def texts(self, rule: Rule, now: LiveState) -> Sequence[str]:
        """Distinct sampled queries, the newest first."""
        newest = dict.fromkeys(one.query for one in reversed(self.samples(rule, now)))
        return list(newest)[: self.policy.samples]

    def both(self, rule: Rule, now: LiveState) -> tuple[list[Fact], list[Fact]] | None:
        """What the live pair and the standby answer to the same queries."""
        standby = next((pair.name for pair in self.store.pairs() if pair.state == "standby"), None)
        if standby is None:
            return None
        texts = self.texts(rule, now)
        live, other = (self.asked.on(texts, pair) for pair in (now.pair, standby))
        common = [query for query in live if query in other]
        return [live[query] for query in common], [other[query] for query in common]

    def golden_value(self, pair: str) -> float | None:
        """Mean nDCG@10 over the golden queries that are judged; None without one, or without the package for it."""
        return self.store.quality.golden_value(pair)


# -- immediate --------------------------------------------------------------------------------------------------------


@metric("error_rate")
def _error_rate(reader: MetricReader, moment: Moment) -> Reading:
    volume = reader.traffic.volume(moment.rule.window, moment.now.epoch)
    total = volume.answers + volume.errors
    return Reading(volume.errors / total, total) if total else NOTHING


@metric("latency")
def _latency(reader: MetricReader, moment: Moment) -> Reading:
    volume = reader.traffic.volume(moment.rule.window, moment.now.epoch)
    objective = reader.policy.objectives.latency
    if volume.p99 is None or objective is None:
        return NOTHING
    return Reading(volume.p99 / objective, volume.answers, said=f"p99 {volume.p99 * 1000:.1f} ms")


@metric("health")
def _health(reader: MetricReader, _: Moment) -> Reading:
    try:
        if not reader.search(_PROBE).pair:
            return NOTHING
    except Exception as error:  # as a caller would get it
        return Reading(0.0, said=str(error) or type(error).__name__)
    return Reading(1.0)


# -- rapid ------------------------------------------------------------------------------------------------------------


@metric("standout")
def _standout(reader: MetricReader, moment: Moment) -> Reading:
    both = reader.both(moment.rule, moment.now)
    if both is None:
        return replace(NOTHING, said="no pair is in standby")
    live, standby = ([fact.standout for fact in facts if fact.standout is not None] for facts in both)
    if min(len(live), len(standby)) < 2:
        return NOTHING
    distance = lower(np.asarray(standby), np.asarray(live))
    return Reading(distance.value, min(len(live), len(standby)), distance.p)


@metric("overlap")
def _overlap(reader: MetricReader, moment: Moment) -> Reading:
    both = reader.both(moment.rule, moment.now)
    if both is None:
        return replace(NOTHING, said="no pair is in standby")
    shares = [len({*a.keys} & {*b.keys}) / max(len(a.keys), len(b.keys), 1) for a, b in zip(*both, strict=True)]
    return Reading(float(np.mean(shares)), len(shares)) if shares else NOTHING


@metric("scores")
def _scores(reader: MetricReader, moment: Moment) -> Reading:
    best = [one.best for one in reader.samples(moment.rule, moment.now) if one.best is not None]
    if moment.baseline is None or len(best) < 2:
        return NOTHING
    measure = psi if moment.rule.statistic == "psi" else ks
    distance = measure(np.asarray(moment.baseline["scores"]), np.asarray(best))
    return Reading(distance.value, len(best), distance.p)


@metric("queries")
def _queries(reader: MetricReader, moment: Moment) -> Reading:
    facts = list(reader.asked.on(reader.texts(moment.rule, moment.now), moment.now.pair).values())
    if moment.baseline is None or len(facts) < 2:
        return NOTHING
    vectors = np.stack([fact.vector for fact in facts])
    directions = np.asarray(moment.baseline["axes"], dtype=np.float32)
    distance = apart(np.asarray(moment.baseline["along"]), along(vectors, directions), moment.rule.statistic)
    return Reading(distance.value, len(facts), distance.p)


# -- business ---------------------------------------------------------------------------------------------------------


@metric("prometheus")
def _prometheus(_: MetricReader, moment: Moment) -> Reading:
    value = query_prometheus(moment.rule.address, moment.rule.query)
    return NOTHING if value is None else Reading(value)


@metric("pushed")
def _pushed(reader: MetricReader, moment: Moment) -> Reading:
    # What was pushed before the move says nothing of the pair that serves now.
    since = max(time.time() - moment.rule.window, moment.now.moved_at)
    values = reader.store.measurements.pushed(moment.rule.key, since)
    return Reading(sum(values) / len(values), len(values)) if values else NOTHING


# -- delayed ----------------------------------------------------------------------------------------------------------


@metric("golden")
def _golden(reader: MetricReader, moment: Moment) -> Reading:
    before = (moment.baseline or {}).get("golden")
    value = reader.golden_value(moment.now.pair) if before else None
    return Reading(value / before, len(reader.store.golden.list())) if value is not None and before else NOTHING


@metric("purity")
def _purity(reader: MetricReader, moment: Moment) -> Reading:
    report = reader.store.report(moment.now.pair)
    return Reading(report.certificate.bound) if report and report.certificate else NOTHING


@metric("lag")
def _lag(reader: MetricReader, moment: Moment) -> Reading:
    return Reading(float(reader.store.lag(moment.now.pair)))


@metric("standby")
def _standby(reader: MetricReader, _: Moment) -> Reading:
    try:
        pair = reader.store.pair(reader.store.rollback_target().pair)
    except NoRollbackTargetError as error:
        return Reading(0.0, said=str(error))
    resources = reader.store.resources
    answer = resources.catalog.models.answer(pair.name)
    if answer is None or abs(answer.age) > ANSWER_SECONDS / 3:  # no worker asks: then whoever wants to know does
        answer, _before = ask_model(resources.catalog, resources.embedders, pair)
    return NOTHING if answer.verdict == "unknown" else Reading(float(answer.verdict == "pass"), said=answer.said)


@metric("cost")
def _cost(reader: MetricReader, moment: Moment) -> Reading:
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=moment.rule.window)).isoformat()
    tokens = [job.progress.get("tokens", 0) for job in reader.store.jobs() if job.updated_at >= since]
    return Reading(float(sum(tokens)))


def query_prometheus(address: str, promql: str) -> float | None:
    """The value of an instant query: a scalar, or a vector of one element; None for an empty one.

    Raises UnreachableError for no answer, for an error, and for several elements, of which none is the value.
    """
    try:
        require_no_link_local(address)
        answer = httpx.get(f"{address.rstrip('/')}/api/v1/query", params={"query": promql}, timeout=_PROMETHEUS_SECONDS)
        body: Any = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise UnreachableError(f"Prometheus at {address} gave no answer: {error}") from error
    if not isinstance(body, dict) or body.get("status") != "success":
        said = body.get("error") if isinstance(body, dict) else None
        raise UnreachableError(
            f"Prometheus at {address}: {said or f'no answer of its kind, HTTP {answer.status_code}'}"
        )
    try:
        kind, result = body["data"]["resultType"], body["data"]["result"]
        if kind == "scalar":
            return float(result[1])
        if kind != "vector" or len(result) > 1:
            raise UnreachableError(
                f"{promql!r} gives {kind} of {len(result)} elements, not one value",
                hint="aggregate it: sum(...), avg(...)",
            )
        return float(result[0]["value"][1]) if result else None
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnreachableError(f"Prometheus at {address} answers in another form: {error!r}") from error
