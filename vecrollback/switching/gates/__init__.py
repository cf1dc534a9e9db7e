"""Gates: what must hold before a pair serves, written in `vecrollback.toml`, and the way back, which always must."""

from __future__ import annotations

from dataclasses import replace

from vecrollback.errors import GateRefusedError, PairStateError, QuarantinedError, UnknownNameError, UsageError
from vecrollback.pairs.resources import Resources
from vecrollback.quality.check import Sampling
from vecrollback.quality.evaluation import Quality
from vecrollback.records import CANDIDATE, LIVE, GateVerdict, MoveRequest, Pair, SearchMode
from vecrollback.storage import config
from vecrollback.storage.steps import step
from vecrollback.switching.gates import judge
from vecrollback.switching.gates.evidence import GateEvidence
from vecrollback.switching.gates.grammar import Gate, parse
from vecrollback.switching.gates.way_back import GATE as WAY_BACK
from vecrollback.switching.gates.way_back import WayBack
from vecrollback.switching.switch import Switch

__all__ = ["WAY_BACK", "Gate", "Gates", "parse"]

_SECTION, _KEY, _MODE = "gates", "promote", "mode"


class Gates:
    """Reads the gates of a store, and looks whether a pair passes them."""

    def __init__(self, resources: Resources, quality: Quality, switch: Switch) -> None:
        self._root, self._catalog = resources.root, resources.catalog
        self._quality, self._switch, self._way_back = quality, switch, WayBack(resources, switch)

    def written(self) -> tuple[Gate, ...]:
        """The gates as they are written now. Raises UsageError for one that cannot be read, naming its line."""
        section = config.section(_SECTION, store=self._root)
        if section is None:
            return ()
        if unknown := section.values.keys() - {_KEY, _MODE}:
            raise UsageError(f"{section.where()}: [gates] has no key {min(unknown)!r}", hint='promote = ["lag = 0"]')
        texts = section.values.get(_KEY, [])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UsageError(
                f"{section.where(_KEY)}: `promote` must be a list of strings", hint='promote = ["lag = 0"]'
            )
        return tuple(parse(text, section.where(text)) for text in texts)

    def mode(self) -> SearchMode:
        """How golden queries are asked: by vectors alone, or joined with the words. Raises UsageError."""
        section = config.section(_SECTION, store=self._root)
        if section is None or (mode := section.values.get(_MODE, "vector")) == "vector":
            return "vector"
        if mode == "hybrid":
            return "hybrid"
        raise UsageError(f"{section.where(_MODE)}: `mode` is {mode!r}", hint='mode = "hybrid", or "vector"')

    def sampling(self) -> Sampling:
        """How much a check must re-embed for the gates to have their certificate."""
        purity_gates = [gate for gate in self.written() if gate.kind == "purity"]
        plain = Sampling()
        return Sampling(
            min([plain.bound, *(gate.value for gate in purity_gates)]),
            max([plain.confidence, *(gate.confidence for gate in purity_gates)]),
        )

    def look(self, pair: str | None = None) -> GateVerdict:
        """What the gates say of a pair as it is, by default of the candidate; changes nothing, checks nothing anew.

        Raises UnknownNameError without a candidate.
        """
        candidate = self._catalog.aliases.get(CANDIDATE)
        if pair is None and candidate is None:
            raise UnknownNameError("there is no candidate yet", hint="name a pair: `vecrollback gates PAIR`")
        return self.judge(pair or (candidate.pair if candidate else ""), wait_seconds=0.0, record=False)

    def judge(
        self, pair: str, *, wait_seconds: float = 10.0, head: int | None = None, record: bool = True
    ) -> GateVerdict:
        """What the gates say of a pair, by its newest full check; the way back is looked at first.

        `wait_seconds`: how long a searcher may take to announce what it holds. `head`: the change up to which the pair
        was to be caught up; None takes the newest. `record`: see `WayBack.verify`.
        """
        gates, judged = self.written(), self._catalog.pairs.get(pair)
        live = self._catalog.aliases.get(LIVE)
        serving = live.pair if live else ""
        with step(f"proving the way back to {serving or 'nothing'}"):
            outcomes = [self._way_back.verify(serving, pair, wait_seconds=wait_seconds, record=record)]
        evidence = GateEvidence(
            self._catalog,
            self._quality,
            judged,
            serving,
            self._catalog.reports.newest(pair),
            gates,
            head,
            self.mode(),
        )
        for gate in gates:
            with step(f"measuring the gate {gate.text}"):
                outcomes.append(judge.judge(gate, evidence))
        return GateVerdict(pair, judged.snapshot, tuple(outcomes), serving, live.epoch if live else 0)

    def obstacle(self, pair: str) -> str:
        """Why the state of a pair keeps it from being promoted now, whatever its gates say; empty when nothing does.

        Raises UnknownNameError.
        """
        record, live = self._catalog.pairs.get(pair), self._catalog.aliases.get(LIVE)
        if live is not None and live.ref == record.ref:
            return f"pair {record.ref} is live already"
        try:
            self._switch.gate(record, MoveRequest("", ""))
        except (PairStateError, QuarantinedError) as error:
            return error.message
        return ""

    def passed(self, pair: Pair, request: MoveRequest, *, head: int | None = None) -> MoveRequest:
        """The request of a promote, with the verdict on it. Raises GateRefusedError, which tells every gate.

        `head`: the newest change when the catch-up before this began. With an override what did not pass becomes part
        of the reason, and so of the history.
        """
        verdict = self.judge(pair.name, head=head)
        reasons = [f"{one.gate}: {one.outcome}" for one in verdict.outcomes if one.outcome != "pass"]
        if not reasons:
            return replace(request, gated=verdict)
        if request.override and request.reason:
            return replace(request, gated=verdict, reason=f"{request.reason} (override of {'; '.join(reasons)})")
        self._catalog.gatekeeping.refused(verdict, request.actor)
        raise refusal(verdict)


def refusal(verdict: GateVerdict) -> GateRefusedError:
    """The error that says which gates a pair does not pass."""
    obstacles = [one for one in verdict.outcomes if one.outcome != "pass"]
    lines = [f"  {one.outcome:<8} {one.gate}: {one.sentence}" for one in verdict.outcomes]
    cures = [f"`vecrollback check {verdict.live}` tells what is wrong with the way back, `vecrollback repair` mends it"]
    cures = cures if obstacles[0].gate == WAY_BACK else []
    return GateRefusedError(
        "\n".join([f"pair {verdict.pair!r} does not pass {len(obstacles)} of {len(verdict.outcomes)} gates:", *lines]),
        hint="; ".join([*cures, "build a better pair, mend what is named, or --override with a --reason"]),
    )
