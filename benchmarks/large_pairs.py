"""A large collection in PostgreSQL that is written to while it is rolled back: how long is the pause, what is lost?

Pairs of 384 numbers in pgvector, an IVFFlat index each. Other processes write fourteen changes a second, those together
that are due together, and catch up; two threads ask, and one rollback is made. Measured are the move, the longest time
without an answer, and answers that failed or came from a pair that was not live. Afterwards, against a plain dict:
documents without a vector, deleted ones that came back; and 2% of vectors of another model, written under a lying
fingerprint, that an audit finds. The vectors are the hashing embedder's, so that a model's time is not in them. Without
the package that carries the server nothing is measured. `--documents N` takes another size.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import pyarrow as pa

from vecrollback import Document, Store, connect
from vecrollback.errors import VecrollbackError
from vecrollback.pairs.vectors import schema

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.support import postgres
from tests.support.postgres import PostgresServer

_MODELS = {"one": "hash:384?seed=1", "two": "hash:384?seed=2"}
_WRITES, _FOREIGN = 14, 0.02
_BREATH_SECONDS = 0.01
"""Between two queries of a thread: threads of Python that never rest leave none to the writer."""
_MEMORY = ("shared_buffers=1GB", "maintenance_work_mem=1GB", "max_wal_size=4GB")


def main() -> None:
    if sys.argv[1:2] == ["--helper"]:
        help_with(sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
        return
    parser = common.parser(__doc__ or "")
    parser.add_argument("--documents", type=int, default=200_000)
    options = parser.parse_args()
    if not postgres.available():
        print("needs the server of the dev extra: pip install 'vecrollback[dev]'")
        common.conclude("large_pairs", {"unmeasured": 0.0}, small=options.small)
        return
    size, seconds = (600, 3.0) if options.small else (options.documents, 30.0)
    with common.workspace(options.keep) as root, postgres.running(*_MEMORY) as server:
        measured = measure(root, server, size, seconds)
    common.conclude("large_pairs", measured, small=options.small)


def measure(root: Path, server: PostgresServer, size: int, seconds: float) -> dict[str, Any]:
    texts = {row.id: row.whole for row in common.rows(size)}
    place = f"pgvector:postgresql://postgres@/postgres?host={server.folder}#"
    told: dict[str, Any] = {"documents": len(texts)}
    with connect(root / "store", create=True) as store:
        ids = list(texts)
        for first in range(0, size, 5_000):
            store.upsert([Document(id_, texts[id_]) for id_ in ids[first : first + 5_000]])
        lists = f"ivfflat:lists={max(10, round(size**0.5))},probes=20"
        for name in ("two", "one"):
            started = time.perf_counter()
            store.reembed(_MODELS[name], name=name, backend=place + name, index=lists, recall_floor=0.3).wait()
            told[f"build_{name}_s"] = round(time.perf_counter() - started, 1)
            store.promote(name, override=True, reason="measured without a check")
        with server.connect() as connection:
            [told["database_mb"]] = connection.execute("SELECT pg_database_size('postgres') / 1000000").fetchone()
        told |= under_load(root, store, texts, seconds)
        print(told, flush=True)
        told |= afterwards(store, texts)
        print(told, flush=True)
        told |= foreign_found(store)
    return told


def under_load(root: Path, store: Store, texts: dict[str, str], seconds: float) -> dict[str, Any]:
    """One rollback in the middle of it."""
    stop, failures = threading.Event(), []
    answers: list[tuple[float, float, int, str]] = []
    changes = root / "changes.jsonl"
    helpers = [
        subprocess.Popen([sys.executable, __file__, "--helper", name, str(root), str(seconds)])
        for name in ("write", "catch-up")
    ]
    while not changes.exists():
        time.sleep(0.05)

    def ask() -> None:
        queries = common.queries(200)
        with store.searcher() as searcher:
            while not stop.is_set():
                for query in queries:
                    begun = time.perf_counter()
                    try:
                        result = searcher.search(query)
                        answers.append((begun, time.perf_counter(), result.epoch, result.pair))
                    except VecrollbackError as error:
                        failures.append(str(error))
                    if stop.is_set():
                        return
                    time.sleep(_BREATH_SECONDS)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 2)
    before = time.perf_counter()
    moved = store.rollback(reason="benchmark", override=True, catch_up=False)
    after = time.perf_counter()
    for helper in helpers:
        if helper.wait():
            raise SystemExit("the writer or the catch-up failed")
    stop.set()
    for thread in threads:
        thread.join()
    made = [json.loads(line) for line in changes.read_text(encoding="utf-8").splitlines()]
    for id_, text in made:
        if text is None:
            texts.pop(id_, None)
        else:
            texts[id_] = text
    targets = {move.epoch: move.target.partition("@")[0] for move in store.history(alias="live")}
    ends = np.sort([end for _, end, _, _ in answers])
    near = ends[(ends > before - 1) & (ends < after + 5)]
    return {
        "writes": len(made),
        **{f"{name}_{key}": value for name in ("write", "catch-up") for key, value in spent(root, name).items()},
        "writes_per_s": round(len(made) / seconds, 1),
        "answers": len(answers),
        "failed": len(failures),
        "mixed": sum(targets[epoch] != pair for _, _, epoch, pair in answers),
        "older_after_the_move": sum(at > after and epoch < moved.epoch for at, _, epoch, _ in answers),
        "move_ms": round(moved.switch_ms, 1),
        "rollback_s": round(after - before, 3),
        "longest_without_answer_s": round(float(np.diff(near).max()), 3),
        "answer_p50_ms": round(1000 * common.middle([end - at for at, end, _, _ in answers]), 2),
        "answer_p99_ms": round(1000 * common.percentile([end - at for at, end, _, _ in answers], 99), 2),
    }


def spent(root: Path, name: str) -> dict[str, float]:
    """Calls of a helper, and the processor's milliseconds in its process for each."""
    told: dict[str, float] = json.loads((root / f"{name}.json").read_text(encoding="utf-8"))
    return told


def help_with(name: str, root: Path, seconds: float) -> None:
    """What a process of its own does: write, each change noted once it is acknowledged; or catch up what is live."""
    with connect(root / "store") as store:
        store.live()
        before, calls = time.process_time(), 0
        if name == "write":
            calls = write(store, root / "changes.jsonl", seconds)
        until = time.monotonic() + seconds
        while name == "catch-up" and time.monotonic() < until:
            store.catch_up(store.live())
            calls += 1
            time.sleep(0.2)
        taken = {"calls": calls, "processor_ms_a_call": round(1000 * (time.process_time() - before) / calls, 1)}
        (root / f"{name}.json").write_text(json.dumps(taken), encoding="utf-8")


def write(store: Store, changes: Path, seconds: float) -> int:
    """Fourteen changes a second; those that are due together are written together, as from a queue. Returns calls."""
    ids = [row.id for row in common.rows(500)]
    chance = np.random.default_rng(0)
    with changes.open("w", encoding="utf-8") as notes:
        begun, count, calls = time.monotonic(), 0, 0
        while (passed := time.monotonic() - begun) < seconds:
            due: dict[str, str | None] = {}
            while count <= passed * _WRITES:
                id_ = f"new {count}" if count % 7 in (4, 5) else ids[int(chance.integers(len(ids)))]
                due[id_] = None if count % 7 == 6 else f"change {count} of a boat in the harbour"
                count += 1
            if gone := [id_ for id_, text in due.items() if text is None]:
                store.delete(gone)
            if there := [Document(id_, text) for id_, text in due.items() if text is not None]:
                store.upsert(there)
            calls += bool(gone) + bool(there)
            for id_, text in due.items():
                print(json.dumps([id_, text]), file=notes, flush=True)
            time.sleep(max(0.0, begun + count / _WRITES - time.monotonic()))
    return calls


def afterwards(store: Store, texts: dict[str, str]) -> dict[str, Any]:
    """Caught up and checked; the pair's own rows against the dict."""
    started = time.perf_counter()
    caught = store.catch_up(store.live())
    taken = time.perf_counter() - started
    pair = store.live()
    keys = store.resources.vectors_of(pair).keys(pair.vectors_version)
    hidden = store.resources.catalog.ledger.tombstones()
    there = {
        id_
        for id_, seq in zip(keys["doc_id"].to_pylist(), keys["seq"].to_pylist(), strict=True)
        if seq > hidden.get(id_, -1)
    }
    return {
        "catch_up_documents": caught.documents,
        "catch_up_s": round(taken, 1),
        "without_a_vector": len(texts.keys() - there),
        "resurrected": len(there - texts.keys()),
        "check": store.check(pair).verdict,
    }


def foreign_found(store: Store) -> dict[str, Any]:
    """Write two in a hundred vectors of the other model, as the pair's own, and let an audit look for them."""
    pair = store.live()
    vectors, chance = store.resources.vectors_of(pair), np.random.default_rng(0)
    keys = vectors.keys(pair.vectors_version)
    hidden = store.resources.catalog.ledger.tombstones()
    newest = {id_: at for at, id_ in enumerate(keys["doc_id"].to_pylist()) if id_ not in hidden}
    victims = sorted(chance.choice(sorted(newest), max(2, int(_FOREIGN * len(newest))), replace=False).tolist())
    other = store.resources.embedders.open(_MODELS["two" if pair.name == "one" else "one"])
    documents = store.get(victims)
    made = other.embed_documents([documents[id_].text for id_ in victims])
    rows = keys.take(pa.array([newest[id_] for id_ in victims]))
    batch = pa.array(np.full(rows.num_rows, pair.vectors_version + 1, np.int64))
    rows = rows.set_column(rows.schema.get_field_index("batch"), "batch", batch)
    rows = rows.append_column("fingerprint", pa.array([pair.fingerprint] * rows.num_rows))
    rows = rows.append_column("vector", pa.FixedSizeListArray.from_arrays(pa.array(made.ravel()), pair.dimension))
    commit = vectors.append(rows.cast(schema(pair.dimension)), known=pair.vectors_version)
    store.resources.catalog.pairs.advance(
        pair.name,
        watermark=pair.watermark,
        vectors_version=commit.version,
        expected=pair.vectors_version,
        files=commit.files,
    )
    started = time.perf_counter()
    report = store.audit(pair)
    taken = time.perf_counter() - started
    named = set(report.ids("foreign_vector"))
    return {
        "foreign_written": len(victims),
        "foreign_counted": sum(finding.count for finding in report.findings if finding.kind == "foreign_vector"),
        "foreign_named": len(named & set(victims)),  # a report names 10,000 at most
        "found_by_mistake": len(named - set(victims)),
        "audit_s": round(taken, 1),
    }


if __name__ == "__main__":
    main()
