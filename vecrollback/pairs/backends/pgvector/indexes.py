"""Indexes of pgvector: which there are, what they are called, how one is built and how it is scanned.

`vr_...` covers all rows of a table, `vrn_...` those of one namespace: a tenant's search goes through its own rows.
"""

from __future__ import annotations

from hashlib import sha256

from vecrollback.pairs.backend import IndexChoice
from vecrollback.records import Metric, document_key

_MOST_DIMENSIONS = 2_000
"""Of a `vector` in an index of pgvector; a `halfvec` may have twice as many."""
INDEXES = """
    SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = to_regclass(%s) AND a.amname IN ('hnsw', 'ivfflat')
    AND starts_with(c.relname, 'vr_')
"""
NAMESPACE_INDEXES = """
    SELECT c.relname, i.indisvalid, obj_description(c.oid, 'pg_class') FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(%s) AND starts_with(c.relname, 'vrn_')
"""
NAMESPACES = """
    SELECT split_part(doc_id, chr(31), 1) FROM {table}
    WHERE current AND ordinal >= 0 AND position(chr(31) IN doc_id) > 0 GROUP BY 1 HAVING count(*) >= %s
"""
_HNSW = ["m=", "ef_construction=", "ef_search=", "halfvec", "namespaces="]
_NOT_BUILT = ("ef_search", "probes", "namespaces")
"""Options that change how an index is searched, or which others there are, and not what it is."""
KNOWN = {"hnsw": _HNSW, "ivfflat": ["lists=", "probes=", "halfvec"], "exact": []}
OPERATORS: dict[Metric, tuple[str, str]] = {"cosine": ("<=>", "cosine"), "dot": ("<#>", "ip"), "l2": ("<->", "l2")}
_SCAN_TUPLES = 1_000_000
"""How far an iterative scan goes on through rows that do not count."""


def in_namespace(namespace: str) -> str:
    """The condition that a row is of a namespace, as SQL; the function of `search_function` has the same."""
    prefix = document_key("", namespace).replace("'", "''")
    return f"starts_with(doc_id, '{prefix}'::text)"


def halved(choice: IndexChoice, dimension: int) -> bool:
    """Whether an index holds 16-bit numbers."""
    return "halfvec" in choice.flags or dimension > _MOST_DIMENSIONS


def scan_settings(choice: IndexChoice) -> tuple[tuple[str, str], ...]:
    """Settings of a session that searches by an index: names and values."""
    if choice.name == "ivfflat":
        probes = choice.options.get("probes", 10)
        return ("ivfflat.probes", str(probes)), ("ivfflat.iterative_scan", "relaxed_order")
    if choice.name == "hnsw":
        found = choice.options.get("ef_search", 100)
        return (
            ("hnsw.ef_search", str(found)),
            ("hnsw.iterative_scan", "strict_order"),
            ("hnsw.max_scan_tuples", str(_SCAN_TUPLES)),
        )
    return ()


def index_name(table: str, choice: IndexChoice, namespace: str = "") -> str:
    """What the index of a table is called: the same for what is built alike, however it is searched."""
    kept = sorted((key, value) for key, value in choice.options.items() if key not in _NOT_BUILT)
    whose = (table, choice.name, kept, sorted(choice.flags), *([namespace] if namespace else []))
    digest = sha256(repr(whose).encode()).hexdigest()[:12]
    return f"vr{'n' if namespace else ''}_{choice.name}_{digest}"


def index_statement(choice: IndexChoice, dimension: int, metric: Metric) -> str:
    """What builds it while others read and write. `{index}` and `{table}` stand for their names."""
    half = halved(choice, dimension)
    suffix = f"{'halfvec' if half else 'vector'}_{OPERATORS[metric][1]}_ops"
    column = f"(vector::halfvec({dimension}))" if half else "vector"
    names = ("lists",) if choice.name == "ivfflat" else ("m", "ef_construction")
    chosen = {key: choice.options[key] for key in names if key in choice.options}
    options = ", ".join(f"{key} = {value}" for key, value in chosen.items())
    given = f" WITH ({options})" if options else ""
    return f"CREATE INDEX CONCURRENTLY {{index}} ON {{table}} USING {choice.name} ({column} {suffix}){given}"
