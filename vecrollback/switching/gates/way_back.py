"""Before a pair is left it is proven that it can be gone back to."""

from __future__ import annotations

import time

from vecrollback.catalog import vectors_table
from vecrollback.errors import EmbedderChangedError, VecrollbackError
from vecrollback.pairs.manifest import load_manifest
from vecrollback.pairs.resources import Resources
from vecrollback.quality.check.files import examine_artifacts, examine_table
from vecrollback.quality.check.findings import Notes
from vecrollback.records import LIVE, GateOutcome, Pair, Verdict
from vecrollback.switching.switch import Switch

GATE = "way back"
_POLL_SECONDS = 0.01


class WayBack:
    """Looks at the live pair as what a rollback would go to: present, sound, its model the same, warm everywhere."""

    def __init__(self, resources: Resources, switch: Switch) -> None:
        self._catalog, self._artifacts, self._embedders = resources.catalog, resources.artifacts, resources.embedders
        self._switch, self._vectors_of = switch, resources.vectors_of

    def verify(self, live: str, promoted: str, *, wait_seconds: float) -> GateOutcome:
        """Whether `live`, a pair's name, could serve again after `promoted` did. What is wrong is told, not raised.

        Reads every byte that a rollback would serve from; waits up to `wait_seconds` for searchers to hold it open.
        """
        if not live:
            return GateOutcome(GATE, "pass", "no pair is live yet: there is nothing to go back to")
        pair, found = self._catalog.pairs.get(live), _Found()
        if live != promoted and (why := self._switch.unfit(live)):
            found.add("fail", f"a rollback would not go to {live!r}: {why}")
        self._files(found, pair)
        self._model(found, pair)
        self._searchers(found, pair, wait_seconds)
        return found.outcome(pair.ref)

    def _files(self, found: _Found, pair: Pair) -> None:
        notes = Notes()
        try:
            manifest = load_manifest(self._artifacts, self._catalog.pairs.find_snapshot(pair.ref).manifest)
        except VecrollbackError as error:
            found.add("fail", str(error))
            return
        examine_artifacts(notes, self._artifacts, manifest, deep=True)
        table, digests = self._vectors_of(pair).table, self._catalog.files.of(vectors_table(pair.name))
        examine_table(notes, table, pair.vectors_version, digests, deep=True)
        for finding in notes:
            found.add("unknown" if finding.severity == "unknown" else "fail", finding.message)
        found.good(f"{sum(int(number) for number in notes.examined.values())} files have their digests")

    def _model(self, found: _Found, pair: Pair) -> None:
        try:
            worst = self._embedders.prove(pair)
            found.good(f"its model gives its probes again (worst cosine {worst:.6f})")
        except EmbedderChangedError as error:
            found.add("fail", str(error))
        except (VecrollbackError, ImportError, OSError) as error:
            found.add("unknown", f"its model cannot be loaded here: {error}")

    def _searchers(self, found: _Found, pair: Pair, wait_seconds: float) -> None:
        deadline = time.monotonic() + wait_seconds
        while True:
            searchers = self._catalog.searchers.alive(LIVE)
            cold = [f"{r.host}:{r.pid}" for r in searchers if pair.ref not in r.warm]
            if not cold:
                found.good(
                    f"{len(searchers)} of {len(searchers)} searchers hold it warm" if searchers else "no searcher runs"
                )
                return
            if time.monotonic() >= deadline:
                found.add("fail", f"searchers that do not hold it warm: {', '.join(cold)} (see their logs)")
                return
            time.sleep(_POLL_SECONDS)


class _Found:
    """What is wrong, and what is well."""

    def __init__(self) -> None:
        self._wrong: list[tuple[Verdict, str]] = []
        self._well: list[str] = []

    def add(self, verdict: Verdict, sentence: str) -> None:
        if all(sentence != known for _, known in self._wrong):
            self._wrong.append((verdict, sentence))

    def good(self, sentence: str) -> None:
        self._well.append(sentence)

    def outcome(self, ref: str) -> GateOutcome:
        if not self._wrong:
            return GateOutcome(GATE, "pass", f"{ref}: {', '.join(self._well)}")
        failed = any(verdict == "fail" for verdict, _ in self._wrong)
        return GateOutcome(GATE, "fail" if failed else "unknown", f"{ref}: {'; '.join(s for _, s in self._wrong)}")
