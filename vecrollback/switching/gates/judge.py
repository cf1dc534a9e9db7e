"""Judge one gate by its evidence, and say the result in a sentence."""

from __future__ import annotations

from collections.abc import Callable

from vecrollback.records import GateOutcome
from vecrollback.switching.gates.evidence import GateEvidence, NothingLiveError, UnknownError
from vecrollback.switching.gates.grammar import Gate, Kind


def judge(gate: Gate, evidence: GateEvidence) -> GateOutcome:
    """Pass, fail or unknown, with what was measured and what was needed."""
    try:
        value, sentence = _MEASURED[gate.kind](gate, evidence)
        limit, against = _limit(gate, evidence)
    except UnknownError as error:
        return GateOutcome(gate.text, "unknown", str(error))
    except NothingLiveError:
        return GateOutcome(gate.text, "pass", "no pair is live yet: there is nothing to compare with")
    holds = gate.holds(value, limit)
    requirement = f"needed {gate.relation} {_format(gate, limit)}{against}"
    return GateOutcome(gate.text, "pass" if holds else "fail", f"{sentence}; {requirement}", value, limit)


def _limit(gate: Gate, evidence: GateEvidence) -> tuple[float, str]:
    if not gate.of_live:
        return gate.value, ""
    of_live = evidence.judged_of_live(gate) if gate.kind == "judged" else evidence.latency_of_live(gate)
    return gate.value * of_live, f" ({gate.value:g} of the live pair's {_format(gate, of_live)})"


def _mean_of_judged(gate: Gate, evidence: GateEvidence) -> tuple[float, str]:
    value, queries = evidence.judged(gate)
    absent = evidence.absent(gate)
    remark = f"; {absent} of the right documents are not in the corpus" if absent else ""
    return value, f"it is {_format(gate, value)} over {queries} golden queries{remark}"


def _alike(gate: Gate, evidence: GateEvidence) -> tuple[float, str]:
    value, queries = evidence.alike(gate)
    return value, f"it is {_format(gate, value)} to the live pair over {queries} golden queries"


def _latency(gate: Gate, evidence: GateEvidence) -> tuple[float, str]:
    value, queries = evidence.latency(gate)
    return value, f"it is {_format(gate, value)} over {queries} golden queries"


def _index(gate: Gate, evidence: GateEvidence) -> tuple[float, str]:
    value = evidence.index_recall()
    return value, f"it is {_format(gate, value)} against exact search"


def _purity(gate: Gate, evidence: GateEvidence) -> tuple[float, str]:
    value = evidence.purity(gate)
    return value, f"at most {_format(gate, value)} are foreign, at {gate.confidence:.6g} confidence or more"


def _lag(_: Gate, evidence: GateEvidence) -> tuple[float, str]:
    value, later = evidence.lag()
    if evidence.caught_up:
        came = f"; {later:,} came since, the catch-up before the move takes them in" if later else ""
        return value, f"{value:,} changes behind the log as it stood when the catch-up began{came}"
    return value, f"{value:,} changes behind the log" + ("; a promote catches up first" if value else "")


_MEASURED: dict[Kind, Callable[[Gate, GateEvidence], tuple[float, str]]] = {
    "judged": _mean_of_judged,
    "alike": _alike,
    "latency": _latency,
    "index": _index,
    "purity": _purity,
    "lag": _lag,
}


def _format(gate: Gate, value: float) -> str:
    if gate.kind == "latency":
        return f"{value:.3g} ms"
    if gate.kind == "purity":
        return f"{value:.3%}"
    return f"{value:,.0f}" if gate.kind == "lag" else f"{value:.4f}"
