"""What does it cost to prove a model all the time, and to keep it?

Aims: at most 1% of the tokens of a re-embedding, at most 2% of query time at ten queries a second with MiniLM, and no
probe from a process that starts where a proof is fresh. Tokens are counted where the model reads them. Queries are
timed in turns, those that carry probes beside those that do not; at ten a second one in a hundred carries them.
Processes are real ones, which ask a local service one query each; it counts the texts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common

from tests.support.openai_server import OpenAIServer
from vecrollback import Document, Store, connect
from vecrollback.embedders import open_embedder
from vecrollback.embedders.probe_texts import PROBES
from vecrollback.embedders.riding_probes import PROOF_SECONDS, QueryProbes
from vecrollback.embedders.sentence_transformers import SentenceTransformersEmbedder

_PER_SECOND = 10
_FALLBACK = "hash:384?seed=1"


def main() -> None:
    options = common.options(__doc__)
    size, queries, rounds = (60, 20, 1) if options.small else (600, 200, 3)
    model = None if options.small else common.model()
    spec = model or _FALLBACK
    with common.workspace(None) as root, connect(root / "store", create=True) as store:
        store.upsert([Document(row.id, row.whole) for row in common.rows(size)])
        measured: dict[str, Any] = {"embedder": "MiniLM" if model else spec, "documents": size}
        measured["tokens"] = _tokens(store, spec)
        measured["queries"] = _queries(store, common.queries(queries), rounds)
        measured["ask_ms"] = round(1000 * common.middle([store.ask_model("v1").seconds for _ in range(rounds * 3)]), 2)
        measured["texts_at_start"] = _starts(root)
        if model:
            measured["kept"] = _kept(store, model)
    common.conclude("proofs", measured, small=options.small)


def _tokens(store: Store, spec: str) -> dict[str, Any]:
    """Tokens of probes among all that a re-embedding lets the model read; what is read once at its start apart."""
    seen: list[list[str]] = []
    kind = type(open_embedder(spec))
    embed = kind._vectors  # type: ignore[attr-defined]

    def note(self: Any, texts: Sequence[str], role: str) -> Any:
        seen.append(list(texts))
        return embed(self, texts, role)

    kind._vectors = note  # type: ignore[attr-defined]
    try:
        store.reembed(spec, name="v1").wait()
    finally:
        kind._vectors = embed  # type: ignore[attr-defined]
    store.promote("v1")
    count, probes = store.resources.embedders.of(store.pair("v1")).count_tokens, set(PROBES)
    # Recording the probes comes first, before any document: it is paid once for a pair, whatever its size.
    first = next(n for n, texts in enumerate(seen) if not probes.issuperset(texts))
    riders = sum(count([text for text in texts if text in probes]) for texts in seen[first:])
    documents = sum(count([text for text in texts if text not in probes]) for texts in seen[first:])
    recorded = sum(count(texts) for texts in seen[:first])
    share = riders / (riders + documents)
    print(f"re-embedding: {documents:,} tokens of documents, {riders:,} of probes: {share:.2%}; {recorded:,} once")
    return {"documents": documents, "riders": riders, "share": round(share, 5), "recorded_once": recorded}


def _queries(store: Store, texts: Sequence[str], rounds: int) -> dict[str, Any]:
    pair, embedders = store.pair("v1"), store.resources.embedders
    model = QueryProbes(embedders.of(pair), embedders.probes(pair), pair.probe_floor)
    model.embed(["warm"])

    def plain(text: str) -> None:
        model.proven_at(time.monotonic())
        model.embed([text])

    def carrying(text: str) -> None:
        model.proven_at(time.monotonic() - 2 * PROOF_SECONDS)
        model.embed([text])

    seconds: dict[str, list[float]] = {"plain": [], "carrying": []}
    for _ in range(rounds):
        for name, values in common.paired({"plain": plain, "carrying": carrying}, texts).items():
            seconds[name] += values
    alone, both = (common.middle(seconds[name]) for name in ("plain", "carrying"))
    share = (both - alone) / (PROOF_SECONDS * _PER_SECOND * alone)
    print(
        f"a query {1000 * alone:.2f} ms, with probes {1000 * both:.2f} ms: {share:.2%} of the time at {_PER_SECOND}/s"
    )
    return {"ms": round(1000 * alone, 3), "carrying_ms": round(1000 * both, 3), "share": round(share, 5)}


def _starts(root: Path) -> dict[str, list[int]]:
    """Texts that a service reads from the opening of a store in a new process to its first answer.

    The proof is made by this process, when the other has imported what it needs: importing may take longer than a proof
    is fresh.
    """
    folder = root / "service"
    texts: dict[str, list[int]] = {}
    with OpenAIServer() as server, connect(folder, create=True) as store:
        store.upsert([Document(row.id, row.whole) for row in common.rows(20)])
        # Time enough for the first query of a process on a busy machine: a second attempt would count twice.
        store.promote(store.reembed(server.spec(query_timeout=60), name="v1").wait())
        for moment, host in (("proof is fresh", ""), ("proof is fresh", ""), ("no proof on this host", "another")):
            command = [sys.executable, "-c", _FIRST_ANSWER, str(folder), host]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                assert process.stdout
                process.stdout.readline()
                store.ask_model("v1")
                server.requests.clear()
                process.communicate(b"\n")
            assert process.returncode == 0
            texts.setdefault(moment, []).append(sum(len(request["input"]) for request in server.requests))
    print(f"texts from the start of a process to its first answer: {texts}")
    return texts


_FIRST_ANSWER = """
import socket, sys
from vecrollback import connect
if sys.argv[2]:
    socket.gethostname = lambda: sys.argv[2]
with connect(sys.argv[1]) as warm:
    warm.search("a first search imports the rest")
print("ready", flush=True)
sys.stdin.readline()
with connect(sys.argv[1]) as store:
    assert not store.search("how to restore a backup").doubt
"""


def _kept(store: Store, model: str) -> dict[str, Any]:
    """Seconds to keep the model anew, and to open it from there and from where it was."""
    start = time.perf_counter()
    kept = store.keep_model("v1")
    seconds = time.perf_counter() - start
    assert kept is not None
    places = {"kept": store.root / "artifacts" / kept.artifact, "original": Path(model)}
    opened = {name: common.middle([_open_seconds(place) for _ in range(3)]) for name, place in places.items()}
    print(f"kept {kept.bytes:,} bytes in {seconds:.2f} s; digests compared: {opened}")
    return {"bytes": kept.bytes, "seconds": round(seconds, 3), "open": {n: round(s, 4) for n, s in opened.items()}}


def _open_seconds(place: Path) -> float:
    start = time.perf_counter()
    embedder = open_embedder(str(place))
    assert isinstance(embedder, SentenceTransformersEmbedder)
    assert embedder.fingerprint
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
