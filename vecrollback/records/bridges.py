"""Bridges: maps from one pair's embedder to another pair's space, and what they were measured to be worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vecrollback.records.documents import Json

BridgeVerdict = Literal["bridge", "stay", "unknown"]

BRIDGED = "bridge:"
"""The provenance of a vector that came over a bridge begins so: no fingerprint does."""

_PROVENANCE_DIGITS = 32
_LEAST_SHARE = 0.5
"""A bridge that keeps less of the target's own nDCG, and is worse than its source, is of no use."""
_LEAST_RECALL = 0.2
"""The same, where no nDCG was measured."""


@dataclass(frozen=True, slots=True)
class BridgeWorth:
    """What was measured of a bridge when it was fitted. Nothing here is estimated.

    Attributes:
        recall: Share of the true ten nearest texts that held-out texts find after their vectors were mapped.
        held_out: So many of them; none of them helped to fit the map that was measured.
        among: So many texts they were looked for.
        queries: Queries that were asked; 0 where none could be.
        kind: Where they are from: `golden`, or `generated` from documents of the corpus.
        own: nDCG@10 of the target pair with its own model; None where that did not answer.
        bridged: nDCG@10 of the target pair with queries that came over the bridge; None without queries.
        stay: nDCG@10 of the source pair; None without queries.
        gain_low: Where `gain` lies at least, with 95%, over all queries such as these; None where that is not known.
        gain_high: Where it lies at most.
        words: nDCG@10 of keyword search; None where `[serving] fallback` did not name it.
    """

    recall: float
    held_out: int
    among: int
    queries: int = 0
    kind: Literal["golden", "generated", "none"] = "none"
    own: float | None = None
    bridged: float | None = None
    stay: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    words: float | None = None

    @property
    def gain(self) -> float | None:
        """What going back over the bridge is worth against staying, in nDCG@10: below zero where staying is better.

        Of all that is measured this holds best for other queries than those that were asked: hard ones are hard for
        both.
        """
        return self.bridged - self.stay if self.bridged is not None and self.stay is not None else None

    @property
    def share(self) -> float | None:
        """What nDCG by bridge is as a share of the target pair's own; None where either was not measured."""
        return self.bridged / self.own if self.bridged is not None and self.own else None

    @property
    def verdict(self) -> BridgeVerdict:
        """Which answers better, the target pair over the bridge or the source pair; `unknown` where neither is shown.

        A bridge that only seems to be as good is worse for other queries nearly every second time.
        """
        if self.gain is None:
            return "unknown"
        if self.gain_low is None or self.gain_high is None:  # measured by a version that noted no interval
            return "bridge" if self.gain >= 0 else "stay"
        if self.gain_low > 0:
            return "bridge"
        return "stay" if self.gain_high < 0 else "unknown"

    @property
    def payload(self) -> dict[str, Json]:
        """What an answer over the bridge tells of it."""
        measures = {
            **{"own": self.own, "ndcg@10": self.bridged, "stay": self.stay, "share": self.share},
            **{"gain": self.gain, "gain_low": self.gain_low, "gain_high": self.gain_high},
        }
        rounded = {name: None if value is None else round(value, 4) for name, value in measures.items()}
        return {"recall@10": round(self.recall, 4), **rounded, "queries": self.queries, "kind": self.kind}


@dataclass(frozen=True, slots=True)
class Bridge:
    """A map from the vectors of `source`'s embedder to the space of `target`, kept as an artefact that never changes.

    Attributes:
        number: In the order in which they were fitted.
        source: The pair whose embedder embeds the queries.
        target: The pair whose vectors they are then compared with.
        source_fingerprint: Of the source's embedder.
        target_fingerprint: Of the target's.
        artifact: Name of the file, which is its digest. It also holds all that is said here.
        method: How the map was fitted.
        rows: Texts that it was fitted to.
        worth: What it was measured to be worth.
        created_at: When.
    """

    number: int
    source: str
    target: str
    source_fingerprint: str
    target_fingerprint: str
    artifact: str
    method: str
    rows: int
    worth: BridgeWorth
    created_at: str

    @property
    def verdict(self) -> BridgeVerdict:
        return self.worth.verdict

    @property
    def provenance(self) -> str:
        """What stands beside a document's vector that came over it, where its model's fingerprint stands else."""
        return f"{BRIDGED}{self.artifact[:_PROVENANCE_DIGITS]}"

    @property
    def is_usable(self) -> bool:
        """Whether it keeps enough of the target to stand in for the target's own model."""
        if self.verdict == "bridge":
            return True
        share = self.worth.share
        return self.worth.recall >= _LEAST_RECALL if share is None else share >= _LEAST_SHARE

    @property
    def sentence(self) -> str:
        """What it is worth, for people."""
        worth = self.worth
        text = f"by bridge from {self.source}: measured recall {worth.recall:.2f}"
        if worth.bridged is None:
            return f"{text}; its answers were not measured"
        if worth.own is not None and worth.share is not None:
            text += f", nDCG {worth.bridged:.3f}, {worth.share:.2f} of {self.target}'s own {worth.own:.3f}"
        else:
            text += f", nDCG {worth.bridged:.3f}"
        if worth.stay is not None:
            text += f", against {worth.stay:.3f} of staying"
        text += f" ({worth.queries} {worth.kind} queries)"
        if worth.gain is not None and worth.gain_low is not None:
            text += f", a difference of {worth.gain:+.3f} (95%: {worth.gain_low:+.3f} to {worth.gain_high:+.3f})"
        return text
