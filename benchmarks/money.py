"""What does each way of this product cost, in money, against embedding a whole corpus again?

Texts that each way embeds were counted by other benchmarks, which are named; nothing is embedded here. A price is what
a provider or a machine asks on a day: give yours (`--per-million`, or `--per-hour` with `--texts-per-second`) and the
day (`--on`). The default, 0.02 dollars for a million tokens, is an example; the shares hardly depend on it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import common


@dataclass(frozen=True, slots=True)
class Way:
    """Texts that it embeds: a share of the corpus, a number, and queries, which are shorter."""

    name: str
    counted_by: str
    share: float = 0.0
    texts: int = 0
    queries: int = 0


WAYS = (
    Way("embedding everything again", "-", share=1.0),
    Way("a forecast, 5% of the corpus", "forecast.py", share=0.05, queries=600),
    Way("a forecast, 300 documents, as many as were measured", "forecast.py", texts=300, queries=600),
    Way("both bridges of a promote, 300 golden queries", "bridges.py", queries=1_200),
    Way("a cascade's trial, SciFact", "cascade.py", texts=2_534),
    Way("a cascade's first 10,000 queries, no text asked for twice", "cascade.py", texts=152_000, queries=10_000),
    Way("a rollback", "rollback.py"),
    Way("the check after a rollback: 1% at 95%", "purity.py", texts=299),
    Way("another model's vectors, nothing known of it", "purity.py", texts=912),
)
"""The most that was counted where it varies; foreign vectors are embedded again on top."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000, 1_000_000, 100_000_000], metavar="N")
    parser.add_argument(
        "--tokens", type=float, default=97.0, help="of a text; 97: Debian's descriptions, by reembed.py"
    )
    parser.add_argument("--query-tokens", type=float, default=15.0, help="of a query")
    parser.add_argument("--per-million", type=float, default=0.02, metavar="DOLLARS", help="tokens of a service")
    parser.add_argument("--per-hour", type=float, metavar="DOLLARS", help="of a machine, in place of a service")
    parser.add_argument("--texts-per-second", type=float, default=83.3, help="of that machine; 83.3: by reembed.py")
    parser.add_argument("--on", default="2026-11-28", metavar="DATE", help="the day of the price")
    parser.add_argument("--small", action="store_true", help="nothing here takes time: the same")
    options = parser.parse_args()
    by_text = options.tokens / 1e6 * options.per_million
    if options.per_hour is not None:
        by_text = options.per_hour / 3600 / options.texts_per_second
    by_query = by_text * options.query_tokens / options.tokens
    rows = []
    for documents in options.documents:
        whole = documents * by_text
        for way in WAYS:
            texts = min(documents, round(way.share * documents) + way.texts)
            dollars = texts * by_text + way.queries * by_query
            row = {"documents": documents, "way": way.name, "texts": texts, "queries": way.queries}
            rows.append(row | {"dollars": round(dollars, 4), "share": round(dollars / whole, 6)})
            print(f"{documents:>12,}  {way.name:<56} {dollars:>12,.4f} $  {dollars / whole:>9.4%}  ({way.counted_by})")
    common.conclude("money", {"priced_on": options.on, "rows": rows}, small=options.small)


if __name__ == "__main__":
    main()
