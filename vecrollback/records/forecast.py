"""What a model would be worth, before anything is paid for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vecrollback.records.evaluation import Difference

ForecastVerdict = Literal["upgrade", "bridge", "stay", "unknown"]


@dataclass(frozen=True, slots=True)
class ForecastSlice:
    """The same forecast for some of the queries.

    Attributes:
        by: What their right documents have in common: `language`, as metadata say it, `namespace`, or `length`.
        value: The language; the namespace, "" for documents in none; "up to N characters" or "more than N characters",
            N being the median.
        difference: As of the whole forecast, from these queries alone.
    """

    by: Literal["language", "namespace", "length"]
    value: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Forecast:
    """How a model would answer over the whole corpus, judged by a sample of it.

    Attributes:
        embedder: The model's string.
        live: The snapshot that it is compared with.
        sample: Documents that were embedded for it.
        documents: Of the corpus.
        queries: That were embedded, by both models.
        kind: Where they are from: `golden`, or `generated` from documents of the corpus.
        difference: nDCG@10 of the live pair as it is, of the model as it would be, and the difference between them with
            its interval.
        error: How far the same estimate is off for the live pair, whose nDCG@10 is known. The interval is that much
            wider on both sides.
        bridged: The live pair with its own queries against the live pair with the model's queries, mapped into its
            space: what the model gives without re-embedding anything. None where the sample is too small for a map.
        overlap: Share of the ten nearest documents of the sample that both models agree on.
        seconds: How long embedding the whole corpus would take, at the speed of the sample.
        tokens: How many tokens that would be.
        dollars: What they would cost; None where the model has no price.
        slices: The difference by language, by namespace and by length, where ten queries or more are of one.
    """

    embedder: str
    live: str
    sample: int
    documents: int
    queries: int
    kind: Literal["golden", "generated"]
    difference: Difference
    error: float
    bridged: Difference | None
    overlap: float
    seconds: float
    tokens: int
    dollars: float | None
    slices: tuple[ForecastSlice, ...] = ()

    @property
    def verdict(self) -> ForecastVerdict:
        """`upgrade` or `stay` when the interval excludes that the other one is better; `bridge` when mapped queries
        alone are better than what serves and re-embedding is not known to be; else `unknown`.
        """
        if self.difference.low > 0:
            return "upgrade"
        if self.bridged is not None and self.bridged.low > 0:
            return "bridge"
        return "stay" if self.difference.high < 0 else "unknown"

    @property
    def sentence(self) -> str:
        """The verdict, for people."""
        one = self.difference
        return (
            f"{self.verdict}: nDCG@10 {one.b:.3f} against {one.a:.3f} of {self.live}, {one.difference:+.3f} "
            f"(95%: {one.low:+.3f} to {one.high:+.3f}), from {self.queries:,} {self.kind} queries and "
            f"{self.sample:,} of {self.documents:,} documents"
        )
