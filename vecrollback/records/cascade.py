"""A pair that serves while it is being built: another pair names candidates, its own model ranks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vecrollback.records.documents import Json
from vecrollback.records.reports import Verdict

PromotedBy = Literal["cascade"]
"""How a pair may be let serve before it is whole."""

MOST_A_QUERY, MOST_A_SECOND = 50, 100
"""Texts that a cascade embeds for one query, and in a second, if nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class CascadeTrial:
    """The same queries asked of the pair before and of the cascade, one after the other.

    Attributes:
        seed: Of the order of the queries.
        kind: Where they are from: `golden`, or `generated` from documents of the corpus.
        old: nDCG@10 of the pair before, query by query.
        new: nDCG@10 of the cascade, query by query.
        verdict: `pass` when golden queries showed that the cascade is better, `fail` when any showed that it is worse.
        accepted: Whether somebody let it serve although it was shown to be worse.
    """

    seed: int = 0
    kind: Literal["golden", "generated", "none"] = "none"
    old: tuple[float, ...] = ()
    new: tuple[float, ...] = ()
    verdict: Verdict = "unknown"
    accepted: bool = False

    @property
    def payload(self) -> dict[str, Json]:
        """What an answer tells of it."""
        count = len(self.new)
        means = [round(sum(values) / count, 4) if count else None for values in (self.new, self.old)]
        share = round(means[0] / means[1], 4) if means[0] is not None and means[1] else None
        return {"ndcg@10": means[0], "old": means[1], "share": share, "queries": count, "kind": self.kind}


@dataclass(frozen=True, slots=True)
class Cascade:
    """What is known of a pair that serves, or served, before it was whole.

    Attributes:
        pair: The pair that serves.
        source: The pair before it, whose index names the candidates.
        per_query: Texts that one query may have embedded.
        per_second: Texts that one searcher may embed in a second.
        trial: How the two compared.
        queries: Queries that were answered so.
        embedded: Documents that were embedded for them, and kept.
        covered: Documents that have vectors of their own by now.
        started_at: When it began to serve.
        ended_at: When it was whole, or was stopped; None while it goes on.
        outcome: Why it ended.
    """

    pair: str
    source: str
    per_query: int = MOST_A_QUERY
    per_second: int = MOST_A_SECOND
    trial: CascadeTrial = CascadeTrial()
    queries: int = 0
    embedded: int = 0
    covered: int = 0
    started_at: str = ""
    ended_at: str | None = None
    outcome: str = ""
