"""Is a verdict of the doctor worth something, whatever the index keeps its vectors in?

Aims: no index with another model's vectors passes, none of the model's own alone fails. Each kind of FAISS index is
built over the same texts with 0, 1, 10 and 100 of 100 vectors another model's, and examined as a user would, by
`examine_source`. `unknown` is an answer: the storage is too coarse, and the doctor says so.

The models look up what they made once, so that a run of hundreds of examinations is a matter of minutes.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import common
import faiss
import numpy as np

from vecrollback.embedders import Embedder, open_embedder
from vecrollback.quality.doctor import ExaminationRequest, ForeignIndex, examine_source

_KINDS = ("Flat", "IVF16,Flat", "HNSW32", "SQ8", "SQ6", "PQ48", "PQ16", "OPQ48,PQ48", "PQ48,RFlat", "PCA128,Flat")
_KINDS += ("RaBitQ", "IVF16,PQ48")
_SHARES = (0.0, 0.01, 0.1, 1.0)


class Remembered:
    """An embedder that looks up the vectors of known texts."""

    def __init__(self, embedder: Embedder, texts: Sequence[str]) -> None:
        self._embedder = embedder
        self.vectors = np.concatenate([embedder.embed_documents(texts[n : n + 64]) for n in range(0, len(texts), 64)])
        self._place = {text: n for n, text in enumerate(texts)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_documents(self, texts: Sequence[str]) -> Any:
        if all(text in self._place for text in texts):
            return self.vectors[[self._place[text] for text in texts]]
        return self._embedder.embed_documents(texts)


def main() -> None:
    options = common.parser("verdicts")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--count", type=int, default=2_000, help="vectors in each index")
    options.add_argument("--bound", type=float, default=0.01)
    asked = options.parse_args()
    count = 400 if asked.small else asked.count
    seeds = range(1 if asked.small else asked.seeds)
    kinds = ("Flat", "SQ8", "PQ48", "RaBitQ") if asked.small else _KINDS
    texts = list(dict.fromkeys(row.whole[:400] for row in common.rows(2 * count)))[:count]
    verdicts: dict[str, Counter[str]] = {}
    wrong = []
    started = time.monotonic()
    with common.workspace(asked.keep) as folder:
        (folder / "rows.jsonl").write_text(
            "".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(texts))
        )
        for pair, (own_name, other_name) in _pairs(small=asked.small).items():
            own, other = (Remembered(open_embedder(name), texts) for name in (own_name, other_name))
            for kind in kinds:
                for share in _SHARES:
                    told = Counter(_verdict(folder, own, other, kind, share, seed, asked.bound) for seed in seeds)
                    verdicts[f"{pair} {kind} {share:.0%}"] = told
                    print(f"{pair:8} {kind:12} {share:5.0%} {dict(told)}", flush=True)
                    if told["fail" if share == 0 else "pass"]:
                        wrong.append(f"{pair} {kind} {share:.0%}")
    print("wrong:", ", ".join(wrong) or "none")
    every = sum(verdicts.values(), Counter())
    common.conclude(
        "verdicts",
        {
            "examinations": sum(every.values()),
            "false_pass": sum(told["pass"] for name, told in verdicts.items() if not name.endswith(" 0%")),
            "false_alarm": sum(told["fail"] for name, told in verdicts.items() if name.endswith(" 0%")),
            "pass": every["pass"],
            "fail": every["fail"],
            "unknown": every["unknown"],
            "seconds": round(time.monotonic() - started, 1),
        },
        small=asked.small,
        corpus=common.source(),
    )


def _pairs(*, small: bool) -> dict[str, tuple[str, str]]:
    found = {"hash": ("hash:384?seed=1", "hash:384?seed=2")}
    minilm, tuned = common.model(), find_spec("sre_embedding_model")
    if not small and minilm and tuned and tuned.origin:
        found["minilm"] = (minilm, str(Path(tuned.origin).parent / "model_weights"))
    return found


def _verdict(folder: Path, own: Remembered, other: Remembered, kind: str, share: float, seed: int, bound: float) -> str:
    random = np.random.default_rng(seed)
    vectors = own.vectors.copy()
    foreign = random.choice(len(vectors), round(share * len(vectors)), replace=False)
    vectors[foreign] = other.vectors[foreign]
    index: Any = faiss.index_factory(vectors.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(folder / "index.faiss"))
    request = ExaminationRequest(model="own", seed=seed, bound=bound)
    with ForeignIndex(f"faiss:{folder / 'index.faiss'}", texts=folder / "rows.jsonl") as source:
        found = examine_source(source, request, open_model=lambda _: own)  # type: ignore[arg-type,return-value]
    return found.verdict


if __name__ == "__main__":
    main()
