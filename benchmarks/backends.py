"""How much does searching a pair in PostgreSQL through vecrollback add to the same SQL by hand? And in other databases?

By hand: the same embedder, one prepared statement of pgvector on the same table through the same index, binary, ten ids
and distances. Through vecrollback: `searcher.search(query, k=10)`, which adds texts, metadata, masks, and which pair,
snapshot and epoch answered. Both in turns, in one process, against one server on a socket. Also the recall of both
against exact search, and one move between two pairs of the database while it is searched. Without the package that
carries the server PostgreSQL is not measured. In Qdrant, Chroma and Milvus Lite, in folders: the same embedder and one
query of the database's own client for ten ids of visible rows. What is not installed is left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import common
import numpy as np

from vecrollback import Document, Store, connect
from vecrollback.pairs.backend import open_backend

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.support import postgres
from tests.support.postgres import PostgresServer

_K, _EF = 10, 100


def main() -> None:
    options = common.options(__doc__ or "")
    measured: dict[str, Any] = {"unmeasured": [0.0, 0.0, 0.0, 0.0]}
    if postgres.available():
        in_postgresql(options, measured)
    else:
        print("PostgreSQL needs the server of the dev extra: pip install 'vecrollback[dev]'")
    with common.workspace(options.keep) as root:
        count, asked = (60, 10) if options.small else (5_000, 300)
        for kind, (package, by_hand) in _OTHERS.items():
            if find_spec(package):
                measured[kind] = elsewhere(root, kind, by_hand, count, asked)
    common.conclude("backends", measured, small=options.small)


def in_postgresql(options: Any, measured: dict[str, Any]) -> None:
    with common.workspace(options.keep) as root, postgres.running() as server:
        if model := common.model():
            count, asked = (20, 20) if options.small else (1_000, 300)
            measured["transformer"] = compare(root / "transformer", server, model, count, asked)
        count, asked = (300, 40) if options.small else (20_000, 1_500)
        measured["hash"] = compare(root / "hash", server, "hash:384?seed=1", count, asked, moves=True)


def elsewhere(root: Path, kind: str, hand_of: Callable[..., Any], count: int, asked: int) -> dict[str, float]:
    """As `compare`, for a database in a folder; both sides in turns."""
    place = f"{kind}:{root / (kind + '.db' if kind == 'milvus' else kind)}#pair"
    with connect(root / f"store-{kind}", create=True) as store:
        store.upsert([Document(row.id, row.whole) for row in common.rows(count)])
        store.reembed("hash:384?seed=1", name="one", backend=place, recall_floor=0.5).wait()
        store.promote("one")
        embedder, client = store.resources.embedders.of(store.live()), open_backend(place)._client  # type: ignore[attr-defined]
        with store.searcher() as searcher:
            by_hand = partial(hand_of, client, embedder)
            through = partial(searcher.search, k=_K)
            texts = common.queries(asked)
            for text in texts[:20]:
                by_hand(text), through(text)
            taken = common.paired({"by_hand": by_hand, "through": through}, texts)
            same = [len(set(by_hand(text)) & {hit.id for hit in through(text).hits}) / _K for text in texts[:50]]
    told = {
        "chunks": float(count),
        "by_hand_ms": _ms(taken["by_hand"]),
        "through_ms": _ms(taken["through"]),
        "added_ms": _ms([b - a for a, b in zip(taken["by_hand"], taken["through"], strict=True)]),
        "ratio": round(common.ratio(taken["through"], taken["by_hand"]), 3),
        "same_ids": round(float(np.mean(same)), 3),
    }
    print(kind, told)
    return told


def ask_qdrant(client: Any, embedder: Any, text: str) -> list[str]:
    from qdrant_client import models

    shown = models.Filter(must=[models.FieldCondition(key="current", match=models.MatchValue(value=True))])
    query = embedder.embed_queries([text])[0].tolist()
    answer = client.query_points("pair", query=query, limit=_K, query_filter=shown, with_payload=["doc_id"])
    return [one.payload["doc_id"] for one in answer.points]


def ask_chroma(client: Any, embedder: Any, text: str) -> list[str]:
    query = embedder.embed_queries([text])
    answer = client.get_collection("pair", embedding_function=None).query(
        query_embeddings=query, n_results=_K, where={"current": True}, include=["metadatas"]
    )
    return [one["doc_id"] for one in answer["metadatas"][0]]


def ask_milvus(client: Any, embedder: Any, text: str) -> list[str]:
    query = embedder.embed_queries([text])[0].tolist()
    [hits] = client.search("pair", [query], filter="current == true", limit=_K, output_fields=["doc_id"])
    return [one["entity"]["doc_id"] for one in hits]


_OTHERS: dict[str, tuple[str, Callable[..., Any]]] = {
    "qdrant": ("qdrant_client", ask_qdrant),
    "chroma": ("chromadb", ask_chroma),
    "milvus": ("milvus_lite", ask_milvus),
}


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
