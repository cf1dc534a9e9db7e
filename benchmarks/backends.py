"""How much does searching a pair in PostgreSQL through vecrollback add to the same SQL by hand? And in other databases?

By hand: the same embedder, one prepared statement of pgvector on the same table through the same index, binary, ten ids
and distances. Through vecrollback: `searcher.search(query, k=10)`, which adds texts, metadata, masks, and which pair,
snapshot and epoch answered. Both in turns, in one process, against one server on a socket; times are of the processor,
that of the server's processes included. Also the recall of both against exact search, and two hundred moves between two
pairs of the database while three processes search it and one writes. Without the package that carries the server
PostgreSQL is not measured. In Qdrant, Chroma and Milvus Lite, in folders: the same embedder and one query of the
database's own client for ten ids of visible rows. What is not installed is left out.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from bisect import bisect_left
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
    if sys.argv[1:2] in (["--ask"], ["--write"]):
        help_with(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
        return
    options = common.options(__doc__ or "", ["transformer", "hash", *_OTHERS])
    measured: dict[str, Any] = {"unmeasured": [0.0, 0.0, 0.0, 0.0]}
    if postgres.available() and {"transformer", "hash"} & set(options.only):
        in_postgresql(options, measured)
    elif not postgres.available():
        print("PostgreSQL needs the server of the dev extra: pip install 'vecrollback[dev]'")
    with common.workspace(options.keep) as root:
        count, asked = (60, 10) if options.small else (options.documents or 5_000, 300)
        for kind, (package, by_hand) in _OTHERS.items():
            if kind in options.only and find_spec(package):
                measured[kind] = elsewhere(root, kind, by_hand, count, asked)
    common.conclude("backends", measured, small=options.small)


def in_postgresql(options: Any, measured: dict[str, Any]) -> None:
    with common.workspace(options.keep) as root, postgres.running() as server:
        model = common.model() if "transformer" in options.only else None
        if model:
            count, asked = (20, 20) if options.small else (options.documents or 1_000, 300)
            measured["transformer"] = compare(root / "transformer", server, model, count, asked)
        if "hash" in options.only:
            count = 300 if options.small else options.documents or 20_000
            asked = min(1_500, count // 5)
            measured["hash"] = compare(root / "hash", server, "hash:384?seed=1", count, asked, moves=True)


def elsewhere(root: Path, kind: str, hand_of: Callable[..., Any], count: int, asked: int) -> dict[str, float]:
    """As `compare`, for a database in a folder, whose library works in this process; both sides in turns."""
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
            taken = common.paired({"by_hand": by_hand, "through": through}, texts, common.processor_seconds)
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
    near = {"params": {"nprobe": 16}}  # as the pair's index is asked
    [hits] = client.search(
        "pair", [query], filter="current == true", limit=_K, output_fields=["doc_id"], search_params=near
    )
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
            servers = [connection.info.backend_pid, *(one.info.backend_pid for one in open_backend(place)._pool._idle)]  # type: ignore[attr-defined]
            clock = partial(common.processor_seconds, *servers)
            taken = common.paired({"by_hand": by_hand, "through": through}, texts, clock)
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
            told |= moved(store, f"{address}#{root.name}.two", flips=20 if count < 500 else 200)
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


def moved(store: Store, place: str, flips: int) -> dict[str, float]:
    """Moves between two collections of the database, one after another, while three processes ask and one writes.

    Milliseconds from the decision until every searcher acknowledged it; answers that came from a pair that was not live
    in their epoch, and those of an older epoch than a move that was acknowledged before they began. An answer that
    fails ends its process, and this with it.
    """
    store.reembed("hash:384?seed=2", name="two", backend=place, recall_floor=0.5).wait()
    store.promote("two")
    outputs = [store.root.parent / f"{store.root.name}-asked-{number}" for number in range(3)]
    calls = [("--ask", str(output)) for output in outputs] + [("--write", str(store.root.parent / "written"))]
    helpers = [
        subprocess.Popen([sys.executable, __file__, *call, str(store.root)], stdin=subprocess.PIPE, text=True)
        for call in calls
    ]
    while not all(output.exists() and output.stat().st_size for output in outputs):
        time.sleep(0.05)
    moves = []
    for number in range(flips):
        done = store.rollback(("one", "two")[number % 2], reason="benchmark", override=True, catch_up=False)
        moves.append((time.monotonic(), done.epoch, done.switch_ms, done.searchers.missing))
    for helper in helpers:
        helper.communicate("\n")
        if helper.returncode:
            raise SystemExit("an answer or a write failed")
    answers = [json.loads(line) for output in outputs for line in output.read_text(encoding="utf-8").splitlines()]
    targets = {move.epoch: move.target.partition("@")[0] for move in store.history(alias="live")}
    times, epochs = [at for at, *_ in moves], [0, *(epoch for _, epoch, *_ in moves)]
    taken = [milliseconds for _, _, milliseconds, _ in moves]
    return {
        "flips": float(flips),
        "answers": float(len(answers)),
        "mixed": float(sum(targets[epoch] != pair for _, epoch, pair in answers)),
        "behind": float(sum(epoch < epochs[bisect_left(times, begun)] for begun, epoch, _ in answers)),
        "not_acknowledged": float(sum(len(missing) for *_, missing in moves)),
        "move_p50_ms": round(common.middle(taken), 1),
        "move_p99_ms": round(common.percentile(taken, 99), 1),
        "move_longest_ms": round(max(taken), 1),
    }


def help_with(role: str, output: Path, root: Path) -> None:
    """What a process of its own does until a line comes in: ask and note who answered, or write."""
    stopped = threading.Event()

    def wait_for_line() -> None:
        sys.stdin.readline()
        stopped.set()

    threading.Thread(target=wait_for_line, daemon=True).start()
    with connect(root) as store, output.open("w", encoding="utf-8", buffering=1) as notes:
        if role == "--write":
            for number in itertools.takewhile(lambda _: not stopped.is_set(), itertools.count()):
                store.upsert([Document(f"new {number % 50}", f"change {number} of a boat")])
                time.sleep(0.1)
            return
        with store.searcher() as searcher:
            for text in itertools.takewhile(lambda _: not stopped.is_set(), itertools.cycle(common.queries(200))):
                begun = time.monotonic()
                result = searcher.search(text, k=_K)
                print(json.dumps([begun, result.epoch, result.pair]), file=notes)
                time.sleep(0.02)  # threads of a busy machine that never rest leave none to the one that moves


def _ms(values: list[float]) -> float:
    return round(1000 * common.middle(values), 3)


if __name__ == "__main__":
    main()
