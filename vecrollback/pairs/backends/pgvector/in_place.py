"""A pair over a table that an application made: its vectors stay where they are, and nothing of it is changed.

`pgvector:URL#NAME<TABLE(KEY,VECTOR)`. The pair has a table of its own, with everything but the vectors of the rows that
it adopted: of these it keeps the key. What is written later has its vector there. A vector that the application changes
or removes is a row that is not what was acknowledged: a check names its batch.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from vecrollback.errors import UsageError
from vecrollback.pairs.backend import IndexChoice, Place
from vecrollback.pairs.backends.pgvector import PgvectorBackend
from vecrollback.pairs.backends.pgvector.indexes import OPERATORS
from vecrollback.records import Metric

_FORM = re.compile(r"(?P<name>[^<>()]+)<(?P<table>[^<>()]+)\((?P<key>[^<>(),]+),(?P<vector>[^<>(),]+)\)")
_SAME = 1e-6
"""Cosine distance up to which a vector is the one that the application has: more than rounding, less than a change."""


class InPlaceBackend(PgvectorBackend):
    """As `PgvectorBackend`, but for rows whose vectors are the application's."""

    borrows = True

    def __init__(self, place: Place) -> None:
        match = _FORM.fullmatch(place.name)
        if match is None:
            raise UsageError(f"{place.shown} is not a valid place", hint="pgvector:URL#NAME<TABLE(KEY,VECTOR)")
        super().__init__(Place(place.kind, place.address, match["name"], place.shown))
        self._lender = match["table"]
        self._key, self._lent = match["key"], match["vector"]
        self._metric: Metric | None = None
        self._lent_type: str | None = None

    def create(self, owner: str, dimension: int, metric: Metric) -> None:
        self._metric = metric
        super().create(owner, dimension, metric)

    def _type(self, field: pa.Field, dimension: int) -> str:
        return f"vector({dimension})" if field.name == "vector" else super()._type(field, dimension)

    def _also_lay_out(self, connection: Any) -> None:
        # of the key's own type, or no index of the application would be used
        kind = self._column_type(connection, self._key)
        connection.execute(self._sql(f"ALTER TABLE {{table}} ADD COLUMN source {kind}"))
        connection.execute(self._sql("CREATE INDEX ON {table} (source)"))

    def _column_type(self, connection: Any, column: str) -> str:
        query = """
            SELECT format_type(atttypid, atttypmod) FROM pg_attribute
            WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped
        """
        row = connection.execute(query, (self._quoted(self._lender), column)).fetchone()
        if row is None:
            raise UsageError(
                f"{self.place}: {self._lender} has no column {column!r}", hint="--id-field, --vector-field"
            )
        return str(row[0])

    def _load(self, connection: Any, rows: pa.Table, table: str = "{table}") -> None:  # noqa: ARG002
        """Through a table of the moment, so that the server compares what comes with what the application has."""
        names = [f'"{name}"' for name in rows.column_names]
        listed = ", ".join(names)
        connection.execute(
            self._sql(f"CREATE TEMP TABLE vr_incoming ON COMMIT DROP AS SELECT {listed} FROM {{table}} LIMIT 0")
        )
        super()._load(connection, rows, "vr_incoming")
        near = f"(i.vector <=> s.{{lent}}::vector) < {_SAME}" if self._unit() else "i.vector = s.{lent}::vector"
        others = ", ".join(f"i.{name}" for name in names if name != '"vector"')
        insert = f"""
            INSERT INTO {{table}} ({", ".join([*(n for n in names if n != '"vector"'), "vector", "source"])})
            SELECT {others}, CASE WHEN same THEN NULL ELSE vector END, CASE WHEN same THEN key END FROM (
                SELECT i.*, s.{{key}} AS key, coalesce(i.ordinal = 0 AND {near}, false) AS same
                FROM vr_incoming i LEFT JOIN {{lender}} s ON s.{{key}}::text = i.doc_id
            ) i
        """
        connection.execute(self._sql(insert))

    def _unit(self) -> bool:
        """Whether the pair's vectors are of unit length, whatever the application's are."""
        if self._metric is None:
            self._metric = self._known_shape()[1]
        return self._metric == "cosine"

    def _named(self) -> dict[str, Any]:
        from psycopg import sql

        given = super()._named()
        lender, key = sql.Identifier(*self._lender.split(".")), sql.Identifier(self._key)
        lent = sql.Identifier(self._lent)
        vector = "l2_normalize(s.{lent}::vector)" if self._unit() else "s.{lent}::vector"
        rows = sql.SQL(
            f"(SELECT t.*, coalesce(t.vector, {vector}) AS whole FROM {{table}} t "
            "LEFT JOIN {lender} s ON s.{key} = t.source) t"
        ).format(table=given["table"], lender=lender, key=key, lent=lent)
        columns = sql.SQL(
            '(SELECT row, doc_id, seq, batch, ordinal, "start", "end", content_hash, fingerprint, whole AS vector, '
            "current FROM {rows}) rows"
        ).format(rows=rows)
        return given | {"rows": columns, "lender": lender, "key": key, "lent": lent}

    def _nearest(
        self, choice: IndexChoice, dimension: int, metric: Metric, k: int, below: int, *, compared: bool
    ) -> str:
        if compared or choice.name == "exact":
            return super()._nearest(choice, dimension, metric, k, below, compared=compared)
        operator, _ = OPERATORS[metric]
        if self._lent_type is None:
            self._lent_type = self._pool.run(lambda c: self._column_type(c, self._lent))
        cast = "::halfvec" if self._lent_type.startswith("halfvec") else ""
        # the application's own index finds what is lent, whatever else its table holds; the pair's finds the rest
        text = f"""
            WITH lent AS MATERIALIZED (
                SELECT s.{{key}} AS key, s.{{lent}}::vector {operator} %(query)s AS distance FROM {{lender}} s
                WHERE s.{{lent}} IS NOT NULL ORDER BY s.{{lent}} {operator} %(query)s{cast} LIMIT {k}
            ), own AS MATERIALIZED (
                SELECT row, vector {operator} %(query)s AS distance FROM {{table}}
                WHERE vector IS NOT NULL AND row < {below} AND ordinal >= 0
                ORDER BY vector {operator} %(query)s LIMIT {k}
            ) SELECT row, distance FROM (
                SELECT t.row, lent.distance FROM lent JOIN {{table}} t ON t.source = lent.key WHERE t.row < {below}
                UNION ALL SELECT row, distance FROM own
            ) found ORDER BY distance, row LIMIT {k}
        """
        return self._sql(text)

    def require_lender(self) -> None:
        """Raise UsageError unless the application's table has the columns, and its key is unique."""
        from psycopg import sql

        kind = self._pool.run(lambda c: self._column_type(c, self._lent))
        if not kind.startswith(("vector", "halfvec")):
            raise UsageError(f"{self.place}: {self._lent!r} is of type {kind}", hint="in place needs vector or halfvec")
        query = sql.SQL("SELECT count({key}) = count(DISTINCT {key}) FROM {lender}").format(
            key=sql.Identifier(self._key), lender=sql.Identifier(*self._lender.split("."))
        )
        [unique] = self._pool.run(lambda c: c.execute(query).fetchone())
        if not unique:
            raise UsageError(
                f"{self.place}: {self._key!r} is not unique", hint="--id-field names a column that is; or adopt a copy"
            )
