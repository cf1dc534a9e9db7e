"""The golden set: queries kept in the store, so that every promote can be measured by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vecrollback.catalog import Catalog, now
from vecrollback.errors import UsageError
from vecrollback.quality.evaluation.judgements import grades, query_id, read_queries
from vecrollback.records import GoldenQuery


class Golden:
    """Adds, lists and removes golden queries."""

    def __init__(self, catalog: Catalog, actor: str) -> None:
        self._catalog, self._actor = catalog, actor

    def add(
        self,
        text: str,
        expected: Mapping[str, int] | Sequence[str] = (),
        *,
        tags: Iterable[str] = (),
        id: str | None = None,
        actor: str | None = None,
    ) -> GoldenQuery:
        """Keep a query and its right answers: document id -> grade, or just ids. A known id is replaced."""
        if isinstance(expected, str) or not text.strip():
            raise UsageError(
                "a golden query needs words, and a list of documents" if text.strip() else "the query is blank",
                hint="store.golden.add('how do I ...', ['doc-1'])",
            )
        judgements = grades(expected if isinstance(expected, Mapping) else list(expected), "expected")
        query = GoldenQuery(
            id or query_id(text), text, judgements, tuple(dict.fromkeys(tags)), now(), actor or self._actor
        )
        self._catalog.golden.put([query])
        return query

    def list(self, tag: str | None = None) -> tuple[GoldenQuery, ...]:
        """Golden queries, oldest first."""
        return tuple(self._catalog.golden.all(tag))

    def remove(self, *ids: str) -> None:
        """Forget queries. Raises UnknownNameError for one that is not there; then all stay."""
        self._catalog.golden.remove(ids)

    def import_(
        self,
        path: str | Path,
        qrels: str | Path | None = None,
        *,
        tags: Iterable[str] = (),
        actor: str | None = None,
    ) -> int:
        """Keep every query of a file, in one transaction; returns how many. For the formats see `read_queries`.

        With a file of judgements, queries without a judgement are left out.
        """
        queries, more, at = read_queries(path, qrels), tuple(tags), now()
        usable = [query for query in queries if query.judged or qrels is None]
        records = [
            replace(
                query,
                tags=tuple(dict.fromkeys([*query.tags, *more])),
                created_at=at,
                created_by=actor or self._actor,
            )
            for query in usable
        ]
        return self._catalog.golden.put(records)
