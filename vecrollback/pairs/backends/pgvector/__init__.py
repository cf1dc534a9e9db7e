"""`pgvector:postgresql://user@host/database#table`: the rows of a pair in a table of PostgreSQL, searched by pgvector.

One table for a pair. A batch is one transaction, which also marks the rows that it supersedes, so a client of another
program never sees two versions of a document. Nothing but that mark is ever updated, and no index covers it: such an
update stays inside its page (HOT) and no vector is indexed again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from vecrollback.errors import CorruptArtifactError, HeadMovedError, UsageError
from vecrollback.indexes.base import Neighbours
from vecrollback.pairs.backend import IndexChoice, Place, VectorBackend, row_schema
from vecrollback.pairs.backends.pgvector.connections import Pool, configure, import_psycopg
from vecrollback.pairs.backends.pgvector.indexes import (
    INDEXES,
    KNOWN,
    NAMESPACE_INDEXES,
    NAMESPACES,
    OPERATORS,
    halved,
    in_namespace,
    index_name,
    index_statement,
    scan_settings,
)
from vecrollback.pairs.backends.pgvector.wire import HEADER, TRAILER, WireVector, encoded, floats, scores
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers
from vecrollback.storage.local import reach

_PAGE = 4_096
_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_-]{0,54}")
_OWNED = "vecrollback pair "
_INDEXED = {"batch": "batch, row", "doc_id": "doc_id", "seq": "seq", "text": "content_hash"}
"""What rows are found by, with the end of the index's name."""
_TYPES = {pa.int64(): "bigint", pa.int32(): "integer", pa.string(): "text", pa.binary(16): "bytea"}
_STATEMENTS = 256
"""Put together once each."""
_EVERY = "ordinal >= 0"
"""Of every search: the rows of documents that have no chunk are no answer."""
_Question = tuple[str, tuple[tuple[str, str], ...]]
"""The statement, and the settings of its scan."""


class PgvectorBackendKind:
    """`pgvector:postgresql://user@host/database#table`, `#schema.table`; also `pgvector:$DATABASE_URL#table`."""

    def open(self, place: Place) -> VectorBackend:
        if "<" in place.name:
            from vecrollback.pairs.backends.pgvector.in_place import InPlaceBackend

            return InPlaceBackend(place)
        if not _NAME.fullmatch(place.name):
            raise UsageError(
                f"{place.name!r} is not a valid name for a table of a pair",
                hint="letters, digits, underscore and dash, at most 55; a schema before a dot",
            )
        return PgvectorBackend(place)


class PgvectorBackend:
    """The table of one pair. Reads are tried again while the server restarts; a write is not, it may have landed."""

    atomic = True
    borrows = False

    def __init__(self, place: Place) -> None:
        self.place = place.shown
        self._name = place.name
        self._pool = Pool(place)
        self._shape: tuple[int, Metric] | None = None
        self._statements: dict[str, str] = {}
        self._questions: dict[tuple[str, int, int, bool, str], _Question] = {}

    # -- the table ----------------------------------------------------------------------------------------------------

    def create(self, owner: str, dimension: int, metric: Metric) -> None:
        def lay_out(connection: Any) -> None:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            comment = self._comment(connection)
            if comment is not None and not comment.startswith(f"{_OWNED}{owner} "):
                whose = "another pair" if comment.startswith(_OWNED) else "something else"
                raise UsageError(f"{self.place} exists and belongs to {whose}", hint="choose another name after the #")
            columns = ", ".join(f'"{one.name}" {self._type(one, dimension)}' for one in row_schema(dimension))
            with connection.transaction():
                connection.execute(self._sql("DROP TABLE IF EXISTS {table} CASCADE"))
                connection.execute(
                    self._sql(
                        f"CREATE TABLE {{table}} ({columns}, current boolean NOT NULL DEFAULT true, PRIMARY KEY (row))"
                        " WITH (fillfactor = 90)"
                    )
                )
                self._index_columns(connection)
                self._also_lay_out(connection)
                note = f"{_OWNED}{owner} {dimension} {metric}"
                connection.execute(self._sql("COMMENT ON TABLE {table} IS {note}", note=note))

        self._shape = None
        self._questions.clear()
        self._pool.run(lay_out, patience=0)
        self._pool.clear()  # connections from before the extension do not know its types

    def _type(self, field: pa.Field, dimension: int) -> str:
        """Of a column, as SQL."""
        return f"vector({dimension}) NOT NULL" if field.name == "vector" else f"{_TYPES[field.type]} NOT NULL"

    def _index_columns(self, connection: Any) -> None:
        for name, columns in _INDEXED.items():
            connection.execute(self._sql(f"CREATE INDEX IF NOT EXISTS {{{name}}} ON {{table}} ({columns})"))

    def _also_lay_out(self, connection: Any) -> None:
        """What else a new table has."""

    def owner(self) -> str | None:
        comment = self._pool.run(self._comment)
        if comment is None or not comment.startswith(_OWNED):
            return None
        return comment.removeprefix(_OWNED).rsplit(" ", 2)[0]

    def drop(self) -> None:
        if self.owner() is not None:
            self._pool.run(lambda c: c.execute(self._sql("DROP TABLE IF EXISTS {table} CASCADE")), patience=0)

    def _comment(self, connection: Any, name: str = "") -> str | None:
        """What the table, or a view, says of itself: "" when it says nothing, None when there is none."""
        name = name or self._quoted()
        query = "SELECT coalesce(obj_description(to_regclass(%s), 'pg_class'), ''), to_regclass(%s) IS NULL"
        said, absent = connection.execute(query, (name, name)).fetchone()
        return None if absent else str(said)

    def _known_shape(self) -> tuple[int, Metric]:
        if self._shape is None:
            comment = self._pool.run(self._comment)
            if comment is None or not comment.startswith(_OWNED):
                raise self._gone()
            _, dimension, metric = comment.rsplit(" ", 2)
            self._shape = int(dimension), metric  # type: ignore[assignment]
        return self._shape  # type: ignore[return-value]

    def _gone(self) -> CorruptArtifactError:
        return CorruptArtifactError(
            f"the table {self.place} is gone",
            hint="import a bundle of the pair, or re-embed under another name: vectors of other pairs are taken over",
        )

    # -- rows ---------------------------------------------------------------------------------------------------------

    def write(self, rows: pa.Table) -> None:
        psycopg = import_psycopg()
        ids = list(dict.fromkeys(rows["doc_id"].to_pylist()))
        first = rows["row"][0].as_py()

        def append(connection: Any) -> None:
            with connection.transaction():
                connection.execute(_DURABLE)
                hide = "UPDATE {table} SET current = false WHERE current AND doc_id = ANY(%s) AND row < %s"
                connection.execute(self._sql(hide), (ids, first))
                self._load(connection, rows)
                reach("backend.writing")

        try:
            self._pool.run(append, patience=0)
        except psycopg.errors.UniqueViolation as error:
            raise HeadMovedError(self.place, expected=f"row {first} to be free", found="it taken") from error

    def _load(self, connection: Any, rows: pa.Table, table: str = "{table}") -> None:
        names = ", ".join(map(_quoted, rows.column_names))
        statement = self._sql(f"COPY {table} ({names}) FROM STDIN WITH (FORMAT binary)")
        with connection.cursor().copy(statement) as copy:
            copy.write(HEADER)
            for batch in rows.to_batches(max_chunksize=_PAGE):
                copy.write(encoded(batch))
            copy.write(TRAILER)

    def truncate(self, count: int) -> None:
        def cut(connection: Any) -> None:
            with connection.transaction():
                removed = connection.execute(
                    self._sql("DELETE FROM {table} WHERE row >= %s RETURNING doc_id"), (count,)
                ).fetchall()
                show = """
                    UPDATE {table} t SET current = true FROM (
                        SELECT doc_id, max(batch) AS batch FROM {table} WHERE doc_id = ANY(%s) GROUP BY doc_id
                    ) newest WHERE t.doc_id = newest.doc_id AND t.batch = newest.batch AND NOT t.current
                """
                connection.execute(self._sql(show), (list({one for (one,) in removed}),))

        self._pool.run(cut, patience=0)

    def delete(self, tombstones: Mapping[str, int]) -> None:
        if not tombstones:
            return
        hide = """
            UPDATE {table} t SET current = false FROM unnest(%s::text[], %s::bigint[]) AS gone(id, seq)
            WHERE t.doc_id = gone.id AND t.seq < gone.seq AND t.current
        """
        ids, seqs = list(tombstones), list(tombstones.values())
        self._pool.run(lambda c: c.execute(self._sql(hide), (ids, seqs)), patience=0)

    def count(self, batch: int | None = None) -> int:
        where = "WHERE batch <= %s ORDER BY batch DESC, row DESC" if batch is not None else "ORDER BY row DESC"
        query = self._sql(f"SELECT row FROM {{table}} {where} LIMIT 1")
        row = self._pool.run(lambda c: c.execute(query, (batch,) if batch is not None else ()).fetchone())
        return int(row[0]) + 1 if row else 0

    def scan(self, columns: Sequence[str], first: int, end: int) -> Iterator[pa.RecordBatch]:
        while first < end:
            query = self._select(columns, "WHERE row >= %s AND row < %s ORDER BY row LIMIT %s")
            page = self._fetched(query, (first, end, _PAGE))
            if not page:
                return
            yield self._batch(page, columns)
            first = page[-1][0] + 1

    def take(self, numbers: Numbers, columns: Sequence[str]) -> pa.Table:
        query = self._select(columns, "WHERE row = ANY(%s) ORDER BY row")
        batches = []
        for begin in range(0, len(numbers), _PAGE):
            page = self._fetched(query, (numbers[begin : begin + _PAGE].tolist(),))
            batches.append(self._batch(page, columns))
        return pa.Table.from_batches(batches, self._schema(columns))

    def matching(
        self, column: Literal["doc_id", "content_hash"], values: Sequence[object], columns: Sequence[str], end: int
    ) -> pa.Table:
        query = self._select(columns, f"WHERE {column} = ANY(%s) AND row < %s ORDER BY row", "{table}")
        return self._looked_up(query, (list(values), end), columns)

    def made_after(self, seq: int, columns: Sequence[str], end: int) -> pa.Table:
        query = self._select(columns, "WHERE seq > %s AND row < %s ORDER BY row", "{table}")
        return self._looked_up(query, (seq, end), columns)

    def _looked_up(self, query: Any, values: tuple[Any, ...], columns: Sequence[str]) -> pa.Table:
        batch = self._batch(self._fetched(query, values), columns)
        return pa.Table.from_batches([batch], self._schema(columns))

    def _select(self, columns: Sequence[str], rest: str, table: str = "{rows}") -> Any:
        wanted = ", ".join(["row", *(_quoted(name) for name in columns if name != "row")])
        return self._sql(f"SELECT {wanted} FROM {table} {rest}")

    def _fetched(self, query: Any, values: tuple[Any, ...]) -> list[Any]:
        return self._pool.run(lambda c: c.cursor(binary=True).execute(query, values).fetchall())

    def _schema(self, columns: Sequence[str]) -> pa.Schema:
        whole = row_schema(self._known_shape()[0])
        return pa.schema([whole.field(name) for name in columns])

    def _batch(self, page: list[Any], columns: Sequence[str]) -> pa.RecordBatch:
        fields = self._schema(columns)
        places = {"row": 0} | {name: 1 + at for at, name in enumerate(name for name in columns if name != "row")}
        values = list(zip(*page, strict=True)) if page else [()] * len(places)
        arrays = []
        for field in fields:
            column = values[places[field.name]]
            if field.name == "vector":
                # Without a vector is what the application removed of a table that a pair stands over.
                nothing = np.full(field.type.list_size, np.nan, ">f4").tobytes()
                flat = np.frombuffer(b"".join(nothing if one is None else floats(one) for one in column), ">f4").astype(
                    np.float32
                )
                arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), field.type.list_size))
            else:
                arrays.append(pa.array(column, field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=fields)

    # -- search -------------------------------------------------------------------------------------------------------

    def search(
        self,
        queries: FloatArray,
        k: int,
        spec: str,
        below: int,
        among: Numbers | None = None,
        *,
        namespace: str = "",
    ) -> Neighbours:
        """As `VectorBackend.search`; with a namespace only its rows, by its own index where it has one."""
        _, metric = self._known_shape()
        query, settings = self._question(spec, k, below, compared=among is not None, namespace=namespace)
        values = {} if among is None else {"among": among.tolist()}
        best = np.full((len(queries), k), -np.inf, np.float32)
        numbers = np.full((len(queries), k), -1, np.int64)

        def ask(connection: Any) -> None:
            configure(connection, settings)
            for at, one in enumerate(queries):
                vector = WireVector.of(one)
                rows = connection.cursor(binary=True).execute(query, {"query": vector, **values}).fetchall()
                if rows:
                    found, distances = zip(*rows, strict=True)
                    numbers[at, : len(rows)] = found
                    best[at, : len(rows)] = scores(np.array(distances, np.float64), one, metric)

        self._pool.run(ask)
        return Neighbours(best, numbers)

    def _question(self, spec: str, k: int, below: int, *, compared: bool, namespace: str) -> _Question:
        """The statement of a search and the settings of its scan, put together once."""
        key = spec, k, below, compared, namespace
        question = self._questions.get(key)
        if question is None:
            choice = IndexChoice.parse(spec, KNOWN)
            settings = () if compared else scan_settings(choice)
            statement = self._nearest(choice, *self._known_shape(), k, below, compared=compared)
            if namespace:  # as the predicate of its index has it, or the planner would not see that it fits
                statement = statement.replace(_EVERY, f"{_EVERY} AND {in_namespace(namespace).replace('%', '%%')}")
            question = statement, settings
            if len(self._questions) >= _STATEMENTS:  # `below` grows with each snapshot
                self._questions.clear()
            self._questions[key] = question
        return question

    def _nearest(
        self, choice: IndexChoice, dimension: int, metric: Metric, k: int, below: int, *, compared: bool
    ) -> str:
        """The statement. Its parameters: the query's vector, and among which rows where these are compared.

        Both numbers stand in it: as parameters the planner would guess them once for all, and sort every row.
        """
        operator, _ = OPERATORS[metric]
        exact = compared or choice.name == "exact"
        where = "row = ANY(%(among)s)" if compared else f"row < {below}"
        if exact:
            # no index fits an expression, so every row is compared; one has no vector that a lender took away
            text = f"""
                SELECT row, distance FROM (
                    SELECT row, vector {operator} %(query)s AS distance FROM {{rows}}
                    WHERE {where} AND {_EVERY} AND vector IS NOT NULL OFFSET 0
                ) rows ORDER BY distance, row LIMIT {k}
            """
        else:
            half = halved(choice, dimension)
            column, query = ("vector", "%(query)s")
            if half:
                column, query = f"(vector::halfvec({dimension}))", f"(%(query)s::halfvec({dimension}))"
            # the index finds them, perhaps by rounded numbers; the distance that counts is that of the very vectors
            text = f"""
                WITH near AS MATERIALIZED (
                    SELECT row, vector {operator} %(query)s AS distance FROM {{table}} WHERE {where} AND {_EVERY}
                    ORDER BY {column} {operator} {query} LIMIT {k}
                ) SELECT row, distance FROM near ORDER BY distance, row
            """
        return self._sql(text)

    def specs(self, spec: str) -> list[str]:
        if spec != "auto":
            IndexChoice.parse(spec, KNOWN)
            return [spec]
        return ["hnsw", "hnsw:m=32,ef_construction=200,ef_search=400", "exact"]

    def seal(self, spec: str) -> None:
        dimension, metric = self._known_shape()
        choice = IndexChoice.parse(spec, KNOWN)
        wanted = "" if choice.name == "exact" else index_name(self._name, choice)

        def build(connection: Any) -> None:
            there = dict(connection.execute(INDEXES, (self._quoted(),)).fetchall())
            # one that is not valid was cut off, or is just being built by somebody else: the pair's lock excludes that
            if wanted and not there.get(wanted, False):
                connection.execute(self._sql("DROP INDEX CONCURRENTLY IF EXISTS {index}", index=wanted))
                reach("backend.sealing")
                connection.execute(self._sql(index_statement(choice, dimension, metric), index=wanted))
            if wanted:  # how it is searched, for the functions of `search_function`
                said = self._sql("COMMENT ON INDEX {index} IS {note}", index=wanted, note=spec)
                connection.execute(said)
            for name in there:
                if name != wanted:
                    connection.execute(self._sql("DROP INDEX CONCURRENTLY IF EXISTS {index}", index=name))
            self._index_columns(connection)  # a table that an earlier version laid out has not all of them
            self._seal_namespaces(connection, choice, dimension, metric)
            connection.execute(self._sql("ANALYZE {table}"))

        self._pool.run(build, patience=0)
        reach("backend.sealed")

    def _seal_namespaces(self, connection: Any, choice: IndexChoice, dimension: int, metric: Metric) -> None:
        """An index for each namespace of so many rows, beside the one of all; those of others are dropped."""
        least = choice.options.get("namespaces", 0)
        rows = connection.execute(self._sql(NAMESPACES), (least,)).fetchall() if least else []
        wanted = {index_name(self._name, choice, namespace): str(namespace) for (namespace,) in rows}
        parts = connection.execute(NAMESPACE_INDEXES, (self._quoted(),)).fetchall()
        there = {name: valid and name in wanted for name, valid, _ in parts}
        for name in (name for name, kept in there.items() if not kept):
            connection.execute(self._sql("DROP INDEX CONCURRENTLY IF EXISTS {index}", index=name))
        for name, namespace in wanted.items():
            if not there.get(name, False):
                statement = self._sql(index_statement(choice, dimension, metric), index=name)
                connection.execute(f"{statement} WHERE {in_namespace(namespace)}")
            connection.execute(self._sql("COMMENT ON INDEX {index} IS {note}", index=name, note=namespace))

    def namespaces(self) -> frozenset[str]:
        """The namespaces that have an index of their own now."""
        rows = self._pool.run(lambda c: c.execute(NAMESPACE_INDEXES, (self._quoted(),)).fetchall())
        return frozenset(str(note) for _, valid, note in rows if valid and note)

    def offer_search(self, connection: Any, schema: str) -> None:
        """Install the functions of `search_function`, where the catalog of this connection has the table beside it."""
        from vecrollback.pairs.backends.pgvector.search_function import install

        owner = self.owner()
        path = self._pool.run(lambda c: c.execute("SELECT current_schemas(false)").fetchone()[0])
        own = [*self._schema_name(), self._name.rpartition(".")[2]]
        places = [own] if len(own) > 1 else [[one, *own] for one in path]
        notes = [self._comment(connection, ".".join(map(_quoted, place))) for place in places]
        if owner and any((note or "").startswith(f"{_OWNED}{owner} ") for note in notes):
            install(connection, schema, path)

    # -- clients of other programs ------------------------------------------------------------------------------------

    def alias(self, name: str, facts: Mapping[str, Json] | None) -> str:
        from psycopg import sql

        view = sql.Identifier(*self._schema_name(), name)
        dotted = ".".join(map(_quoted, [*self._schema_name(), name]))
        said: Any = sql.SQL("")
        for key, value in sorted((facts or {}).items()):
            said += sql.SQL(", {} AS {}").format(sql.Literal(value), sql.Identifier(key))
        mark = f"{_OWNED}alias of store {(facts or {}).get('store', '')}"
        statement = self._sql(
            'CREATE VIEW {view} AS SELECT doc_id AS id, ordinal, "start", "end", vector, seq, content_hash{said} '
            "FROM {rows} WHERE current AND ordinal >= 0",
            view=view,
            said=said,
        )

        def move(connection: Any) -> None:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"vecrollback alias {dotted}",))
                comment = self._comment(connection, dotted)
                if comment is not None and not comment.startswith(mark):
                    raise UsageError(
                        f"{dotted} in {self.place} is not this store's",
                        hint="let each store have a schema of its own: pgvector:URL#schema.table",
                    )
                # not replaced: a view keeps the types of its columns, and another pair has another dimension
                connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
                if facts is not None:
                    connection.execute(statement)
                    connection.execute(sql.SQL("COMMENT ON VIEW {} IS {}").format(view, sql.Literal(mark)))

        self._pool.run(move, patience=0)
        return ".".join([*self._schema_name(), name])

    # -- statements ---------------------------------------------------------------------------------------------------

    def _schema_name(self) -> list[str]:
        return self._name.split(".")[:-1]

    def _quoted(self, name: str = "") -> str:
        return ".".join(_quoted(part) for part in (name or self._name).split("."))

    def _named(self) -> dict[str, Any]:
        """What stands in braces in every statement. `rows`: the table as it is read."""
        from psycopg import sql

        short = self._name.rpartition(".")[2]
        table = sql.Identifier(*self._name.split("."))
        indexes = {name: sql.Identifier(f"{short}_{name}") for name in _INDEXED}
        return {"table": table, "rows": table, **indexes}

    def _sql(self, text: str, **parts: Any) -> str:
        from psycopg import sql

        if not parts and text in self._statements:
            return self._statements[text]
        if "index" in parts:
            schema = [] if text.startswith("CREATE") else self._schema_name()
            parts["index"] = sql.Identifier(*schema, parts["index"])
        if "note" in parts:
            parts["note"] = sql.Literal(parts["note"])
        # as a string: what is composed, psycopg would quote anew for each call
        statement = sql.SQL(text).format(**self._named(), **parts).as_string()
        if not parts and len(self._statements) < _STATEMENTS:
            self._statements[text] = statement
        return statement


_DURABLE = """
    SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
"""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
