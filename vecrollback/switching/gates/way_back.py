"""The way back: before each promote, proof that a rollback to the live pair would work."""

from __future__ import annotations

import time

from vecrollback.catalog import vectors_table
from vecrollback.errors import EmbedderChangedError, VecrollbackError
from vecrollback.pairs.manifest import load_manifest
from vecrollback.pairs.model_answers import ask_model
from vecrollback.pairs.resources import Resources
from vecrollback.quality.check.files import examine_artifacts, examine_table
from vecrollback.quality.check.findings import Notes
from vecrollback.records import LIVE, GateOutcome, Pair, Verdict
from vecrollback.switching.switch import Switch

GATE = "way back"
_POLL_SECONDS = 0.01


class WayBack:
    """Examines the live pair as the target of a rollback: files there and sound, same model, open in every searcher."""

    def __init__(self, resources: Resources, switch: Switch) -> None:
        self._catalog, self._artifacts, self._embedders = resources.catalog, resources.artifacts, resources.embedders
        self._switch, self._vectors_of = switch, resources.vectors_of

    def verify(self, live: str, promoted: str, *, wait_seconds: float, record: bool) -> GateOutcome:
        """Whether `live`, a pair's name, could serve again after `promoted` did. Problems are returned, not raised.

        Reads every byte that a rollback would serve from; waits up to `wait_seconds` for searchers to hold it open.
        `record`: write down what the model did, for the switch, which asks no model itself.
        """
        if not live:
            return GateOutcome(GATE, "pass", "no pair is live yet: there is nothing to go back to")
        pair, findings = self._catalog.pairs.get(live), _Findings()
        if record:
            ask_model(self._catalog, self._embedders, pair)
        if live != promoted and (why := self._switch.unfit(live)):
            findings.add("fail", f"a rollback would not go to {live!r}: {why}")
        self._files(findings, pair)
        self._model(findings, pair)
        self._searchers(findings, pair, wait_seconds)
        return findings.outcome(pair.ref)

    def _files(self, findings: _Findings, pair: Pair) -> None:
        notes = Notes()
        try:
            manifest = load_manifest(self._artifacts, self._catalog.pairs.find_snapshot(pair.ref).manifest)
        except VecrollbackError as error:
            findings.add("fail", str(error))
            return
        # Deep: every byte is read now, because on the day of a rollback there is no time to (law 12).
        examine_artifacts(notes, self._artifacts, manifest, deep=True)
        table, digests = self._vectors_of(pair).files, self._catalog.files.of(vectors_table(pair.name))
        examine_table(notes, table, pair.vectors_version, digests, deep=True)
        for finding in notes:
            findings.add("unknown" if finding.severity == "unknown" else "fail", finding.message)
        findings.good(f"{sum(int(number) for number in notes.examined.values())} files have their digests")

    def _model(self, findings: _Findings, pair: Pair) -> None:
        try:
            worst = self._embedders.prove(pair)
            findings.good(f"its model gives its probes again (worst cosine {worst:.6f})")
        except EmbedderChangedError as error:
            findings.add("fail", str(error))
        except (VecrollbackError, ImportError, OSError) as error:
            findings.add("unknown", f"its model cannot be loaded here: {error}")

    def _searchers(self, findings: _Findings, pair: Pair, wait_seconds: float) -> None:
        deadline = time.monotonic() + wait_seconds
        while True:
            searchers = self._catalog.searchers.alive(LIVE)
            cold = [f"{r.host}:{r.pid}" for r in searchers if pair.ref not in r.warm]
            if not cold:
                findings.good(
                    f"{len(searchers)} of {len(searchers)} searchers hold it warm" if searchers else "no searcher runs"
                )
                return
            if time.monotonic() >= deadline:
                findings.add("fail", f"searchers that do not hold it warm: {', '.join(cold)} (see their logs)")
                return
            time.sleep(_POLL_SECONDS)


class _Findings:
    """Collects what is wrong with the way back, and what is in order."""

    def __init__(self) -> None:
        self._wrong: list[tuple[Verdict, str]] = []
        self._well: list[str] = []

    def add(self, verdict: Verdict, sentence: str) -> None:
        if all(sentence != earlier for _, earlier in self._wrong):
            self._wrong.append((verdict, sentence))

    def good(self, sentence: str) -> None:
        self._well.append(sentence)

    def outcome(self, ref: str) -> GateOutcome:
        if not self._wrong:
            return GateOutcome(GATE, "pass", f"{ref}: {', '.join(self._well)}")
        failed = any(verdict == "fail" for verdict, _ in self._wrong)
        return GateOutcome(GATE, "fail" if failed else "unknown", f"{ref}: {'; '.join(s for _, s in self._wrong)}")
