"""Functions in PostgreSQL that give an application the pointer and the answers in one statement.

Where the catalog lies in the database of the pair, a statement sees both at one moment: the pointer, the deletes and
how far the pair has come are rows of the catalog, and rows of a pair never change. So a write, a delete in all pairs
and a move with its history each count for such an application from one commit on, the catalog's.

The functions know no pair: they read where `live` points and which index its table has. So they are installed once,
and again when another version of vecrollback brings others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

VERSION = 1
"""Of the functions. A higher one that is installed already stays."""
SEARCH, POINTER = "vecrollback_search", "vecrollback_pointer"
_MARK = "vecrollback functions, version "


def install(connection: Any, catalog_schema: str, schemas: Sequence[str]) -> None:
    """Install the functions beside the catalog, unless they are there. Only their owner may call them until granted.

    Args:
        connection: Of psycopg, to the catalog's database, in a transaction.
        catalog_schema: Where the tables of the catalog are.
        schemas: In which tables of pairs are found that are named without one.
    """
    from psycopg import sql

    if _installed(connection, catalog_schema) >= VERSION:
        return
    [home] = connection.execute(_EXTENSION).fetchone()
    # The functions run with their owner's rights. So operators are pgvector's own, whatever somebody else lays out in
    # the other schemas, and a table counts only if it is the owner's.
    path = sql.SQL(", ").join(sql.Identifier(one) for one in dict.fromkeys([home, *schemas]))
    names = {"catalog": sql.Identifier(catalog_schema), "home": sql.Identifier(home), "path": path}
    for text in (_POINTER, _SEARCH):
        connection.execute(sql.SQL(text).format(**names))
    for name in (POINTER, SEARCH):
        function = sql.Identifier(catalog_schema, name)
        connection.execute(sql.SQL("REVOKE ALL ON FUNCTION {} FROM PUBLIC").format(function))
        note = sql.Literal(f"{_MARK}{VERSION}")
        connection.execute(sql.SQL("COMMENT ON FUNCTION {} IS {}").format(function, note))


def _installed(connection: Any, catalog_schema: str) -> int:
    row = connection.execute(_NOTE, (catalog_schema, SEARCH)).fetchone()
    note = str(row[0]) if row else ""
    return int(note.removeprefix(_MARK)) if note.startswith(_MARK) else 0


_EXTENSION = """
    SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'
"""
_NOTE = """
    SELECT obj_description(p.oid, 'pg_proc') FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = %s AND p.proname = %s
"""
_POINTER = """
CREATE OR REPLACE FUNCTION {catalog}.vecrollback_pointer()
RETURNS TABLE (
    pair text, epoch bigint, embedder text, fingerprint text, dimension integer, metric text, settings json, place text
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {path}, pg_temp AS $function$
    SELECT p.name, a.epoch, p.embedder, p.fingerprint, p.dimension, p.metric, p.settings, p.backend
    FROM {catalog}.alias a JOIN {catalog}.pair p ON p.name = a.pair WHERE a.name = 'live'
$function$
"""
# `counts` is the condition of `pairs.vectors.newest`: of each document the rows of its highest (seq, batch) up to the
# version that the catalog names, unless it was deleted since. A row that is `current` is the newest of all, which
# spares the look for another. OFFSET 0 keeps the planner from making joins of these: an index scan would end.
_SEARCH = """
CREATE OR REPLACE FUNCTION {catalog}.vecrollback_search(
    query {home}.vector, fingerprint text, k integer DEFAULT 10, among text[] DEFAULT NULL, namespace text DEFAULT ''
)
RETURNS TABLE (
    id text, score double precision, chunk integer, "start" integer, "end" integer, seq bigint, pair text, epoch bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = {path}, pg_temp
SET hnsw.iterative_scan = 'strict_order' SET hnsw.ef_search = 100 SET hnsw.max_scan_tuples = 1000000
SET ivfflat.iterative_scan = 'relaxed_order' SET ivfflat.probes = 10
AS $function$
#variable_conflict use_column
DECLARE
    live record;
    parts text[];
    named text;
    relation text;
    lender text;
    built record;
    operator text;
    prefix text := CASE WHEN namespace = '' THEN '' ELSE namespace || chr(31) END;
    exact boolean;
    counts text;
    candidates text;
    statement text;
    wanted integer;
    there integer;
    keys text[]; distances float8[]; ordinals int[]; starts int[]; ends int[]; seqs bigint[];
BEGIN
    SELECT p.name, a.epoch, p.embedder, p.fingerprint, p.dimension, p.metric, p.backend, p.vectors_version
    INTO live FROM {catalog}.alias a JOIN {catalog}.pair p ON p.name = a.pair WHERE a.name = 'live';
    IF live IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'VR002', MESSAGE = 'no pair is live yet', HINT = 'vecrollback promote PAIR';
    END IF;
    IF live.fingerprint IS DISTINCT FROM vecrollback_search.fingerprint THEN
        RAISE EXCEPTION USING ERRCODE = 'VR001',
            MESSAGE = format('the query was not embedded by the model of the live pair %s', live.name),
            DETAIL = json_build_object('pair', live.name, 'epoch', live.epoch, 'embedder', live.embedder,
                                       'fingerprint', live.fingerprint)::text,
            HINT = 'embed it with that embedder and pass its fingerprint';
    END IF;
    parts := regexp_match(live.backend, '^pgvector:[^#]*#([^<]*)(?:<([^(]*)[(]([^,]*),([^)]*)[)])?$');
    SELECT string_agg(quote_ident(one), '.' ORDER BY at) INTO named
    FROM unnest(string_to_array(parts[1], '.')) WITH ORDINALITY part(one, at);
    IF to_regclass(named) IS NULL OR NOT starts_with(
        coalesce(obj_description(to_regclass(named), 'pg_class'), ''),
        'vecrollback pair ' || (SELECT s.id FROM {catalog}.store s) || '/' || live.name || ' '
    ) OR NOT EXISTS (
        SELECT 1 FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
        WHERE c.oid = to_regclass(named) AND c.relkind IN ('r', 'p') AND r.rolname = current_user
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'VR003',
            MESSAGE = format('the live pair %s does not lie in this database, as a table of %s',
                             live.name, current_user),
            HINT = 'search it through vecrollback';
    END IF;
    operator := CASE live.metric WHEN 'cosine' THEN '<=>' WHEN 'dot' THEN '<#>' ELSE '<->' END;
    counts := format(
        't.batch <= %1$s AND t.ordinal >= 0 AND (t.current OR NOT EXISTS (
            SELECT 1 FROM %2$s n WHERE n.doc_id = t.doc_id AND n.batch <= %1$s AND (n.seq, n.batch) > (t.seq, t.batch)
            OFFSET 0
        )) AND NOT EXISTS (SELECT 1 FROM {catalog}.tombstone d WHERE d.id = t.doc_id AND d.seq > t.seq OFFSET 0)',
        live.vectors_version, named
    ) || CASE WHEN among IS NOT NULL THEN ' AND t.doc_id = ANY($2)'
              WHEN prefix = '' THEN ' AND position(chr(31) IN t.doc_id) = 0'
              ELSE format(' AND starts_with(t.doc_id, %L)', prefix) END;
    among := ARRAY(SELECT prefix || one FROM unnest(among) one);
    relation := named || ' t';
    IF parts[2] IS NULL THEN
        SELECT a.amname AS kind, pg_get_indexdef(i.indexrelid) LIKE '%halfvec%' AS halved,
            coalesce(obj_description(i.indexrelid, 'pg_class'), '') AS spec
        INTO built FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
        WHERE i.indrelid = to_regclass(named) AND i.indisvalid AND a.amname IN ('hnsw', 'ivfflat')
            AND starts_with(c.relname, 'vr_') ORDER BY c.relname LIMIT 1;
        candidates := format(
            'SELECT t.doc_id, t.ordinal, t.start, t."end", t.seq, t.vector %1$s $1 AS distance FROM %2$s WHERE %3$s
             ORDER BY %4$s LIMIT ',
            operator, relation, counts,
            CASE WHEN built.halved
                THEN format('(t.vector::halfvec(%1$s)) %2$s $1::halfvec(%1$s)', live.dimension, operator)
                ELSE format('t.vector %s $1', operator) END
        );
        exact := built IS NULL OR among <> '{{}}';
        IF built.kind = 'hnsw' THEN
            PERFORM set_config('hnsw.ef_search', coalesce(substring(built.spec FROM 'ef_search=(\\d+)'), '100'), true);
        ELSIF built.kind = 'ivfflat' THEN
            PERFORM set_config('ivfflat.probes', coalesce(substring(built.spec FROM 'probes=(\\d+)'), '10'), true);
        END IF;
    ELSE
        SELECT string_agg(quote_ident(one), '.' ORDER BY at) INTO lender
        FROM unnest(string_to_array(parts[2], '.')) WITH ORDINALITY part(one, at);
        candidates := format(
            'SELECT * FROM ((
                SELECT t.doc_id, t.ordinal, t.start, t."end", t.seq, s.%5$I::vector %1$s $1 AS distance
                FROM %6$s s JOIN %2$s ON t.source = s.%4$I WHERE s.%5$I IS NOT NULL AND %3$s
                ORDER BY s.%5$I %1$s %7$s LIMIT %%1$s
            ) UNION ALL (
                SELECT t.doc_id, t.ordinal, t.start, t."end", t.seq, t.vector %1$s $1 AS distance
                FROM %2$s WHERE t.vector IS NOT NULL AND %3$s ORDER BY t.vector %1$s $1 LIMIT %%1$s
            )) both_places ORDER BY distance LIMIT ',
            operator, relation, counts, parts[3], parts[4], lender,
            CASE WHEN (SELECT format_type(c.atttypid, NULL) = 'halfvec' FROM pg_attribute c
                       WHERE c.attrelid = to_regclass(lender) AND c.attname = parts[4])
                THEN '$1::halfvec' ELSE '$1' END
        );
        relation := format(
            '(SELECT r.doc_id, r.ordinal, r.start, r."end", r.seq, r.batch, r.current,
                coalesce(r.vector, s.%3$I::vector) AS vector
              FROM %1$s r LEFT JOIN %4$s s ON s.%2$I = r.source) t',
            named, parts[3], parts[4], lender
        );
        exact := among <> '{{}}';
    END IF;
    wanted := k;
    LOOP
        -- no index fits the order of a subquery's column, so every row is compared
        statement := CASE WHEN exact THEN format(
            'SELECT * FROM (
                SELECT t.doc_id, t.ordinal, t.start, t."end", t.seq, t.vector %s $1 AS distance
                FROM %s WHERE t.vector IS NOT NULL AND %s OFFSET 0
             ) every ORDER BY distance, doc_id LIMIT %s', operator, relation, counts, wanted
        ) WHEN parts[2] IS NULL THEN candidates || wanted ELSE replace(candidates, '%1$s', wanted::text) || wanted END;
        EXECUTE format(
            'WITH near AS MATERIALIZED (%s), best AS (
                SELECT *, row_number() OVER (PARTITION BY doc_id ORDER BY distance, ordinal) AS place FROM near
             ) SELECT (SELECT count(*) FROM near), array_agg(doc_id ORDER BY distance, doc_id),
                array_agg(distance ORDER BY distance, doc_id), array_agg(ordinal ORDER BY distance, doc_id),
                array_agg(start ORDER BY distance, doc_id), array_agg("end" ORDER BY distance, doc_id),
                array_agg(seq ORDER BY distance, doc_id)
             FROM best WHERE place = 1', statement
        ) INTO there, keys, distances, ordinals, starts, ends, seqs USING query, among;
        EXIT WHEN coalesce(cardinality(keys), 0) >= k OR (exact AND there < wanted);
        -- several chunks of one document are near, so more is asked for; an index that gives fewer has no more to give
        exact := exact OR there < wanted;
        wanted := 4 * wanted;
    END LOOP;
    RETURN QUERY SELECT substr(keys[at], 1 + length(prefix)),
        CASE live.metric WHEN 'cosine' THEN (1 - coalesce(nullif(distances[at], 'NaN'), 1)) * vector_norm(query)
            WHEN 'dot' THEN -distances[at] ELSE -distances[at] ^ 2 END,
        ordinals[at], starts[at], ends[at], seqs[at], live.name::text, live.epoch
    FROM generate_series(1, least(k, coalesce(cardinality(keys), 0))) at;
END
$function$
"""
