"""Every multi-step operation of a store, as a process that a test may kill.

`python -m tests.support.operations STORE OPERATION` runs one and prints a line of JSON for everything that was
acknowledged; with `--trace` also the fault points it passed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.oracle import ONE, QUERIES, THREE, TWO
from tests.support.spawner import spawn

ROOT = Path(__file__).parents[2]
EVERY_ROW = 10**9
V1, V2 = "hash:64?seed=1", "hash:64?seed=2"


def words(number: int, version: int = 0) -> str:
    """A text that no other document and no other version of it has."""
    topic = ("boats", "lake", "bread", "harbour")[number % 4]
    return f"note {number} on the {topic}, version {version} of {number * 7}"


def acknowledge(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def upsert(store: Any) -> None:
    from vecrollback import Document

    for batch in ({"d1": words(1, 5), "n1": words(101)}, {"d2": words(2, 5), "n2": words(102)}):
        seq = store.upsert([Document(id_, text, {"lang": "en"}) for id_, text in batch.items()]).head
        acknowledge(seq=seq, upserted=batch)


def delete(store: Any) -> None:
    for ids in (["d3", "d4"], ["d5", "never there"]):
        acknowledge(seq=store.delete(ids).head, deleted=ids)


def reembed(store: Any) -> None:
    acknowledge(pair=store.reembed(THREE, name="three", index="Flat").wait().name)


def reembed_sharded(store: Any) -> None:
    acknowledge(pair=store.reembed(THREE, name="three", index="shards:3(Flat)").wait().name)


def promote(store: Any) -> None:
    if store.live().name != "one":
        acknowledge(epoch=store.promote("one", reason="a test").epoch, live="one")


def rollback(store: Any) -> None:
    if store.live().name != "one":
        acknowledge(epoch=store.rollback(reason="a test", catch_up=False).epoch, live="one")
    store.catch_up("one")


def restore(store: Any) -> None:
    acknowledge(epoch=store.restore("one@1", reason="a test").epoch, live="one")


def catch_up(store: Any) -> None:
    acknowledge(watermark=store.catch_up("two").watermark)


def repair(store: Any) -> None:
    report = store.check("two", sample=EVERY_ROW)
    if report.verdict != "pass":
        acknowledge(verdict=store.repair(report).verdict)


def repair_masked(store: Any) -> None:
    report = store.check("two", sample=EVERY_ROW)
    if report.verdict != "pass":
        acknowledge(verdict=store.repair(report, mask=True).verdict)


def snapshot(store: Any) -> None:
    acknowledge(snapshot=store.snapshot("two", rebuild=True).ref)


def cascade(store: Any) -> None:
    if store.live().name != "four":
        how = {"by": "cascade", "embedder": THREE, "override": True, "reason": "a test"}
        acknowledge(epoch=store.promote("four", **how).epoch, live="four")


def cascade_queries(store: Any) -> None:
    with store.searcher(follow=False) as searcher:
        for query in QUERIES:
            searcher.search(query)


def cascade_fill(store: Any) -> None:
    store.catch_up("four")


def compact(store: Any) -> None:
    store.compact(purge=True)


def tidy(store: Any) -> None:
    from vecrollback.pairs.compaction import Compactor

    Compactor(store.resources, age=0).run(whole=True)


def go_back(store: Any) -> None:
    done = store.time_travel.rollback(30, reason="a test", catch_up=False)
    acknowledge(seq=done.head, deleted=list(done.plan.withdrawn))


def prune(store: Any) -> None:
    from vecrollback.records import RetentionRules

    acknowledge(pruned=store.retention.apply(store.retention.plan(RetentionRules(1, cool_down=0))).pairs)


OPERATIONS: dict[str, Callable[[Any], None]] = {
    function.__name__: function
    for function in (
        upsert,
        delete,
        reembed,
        reembed_sharded,
        promote,
        rollback,
        restore,
        catch_up,
        repair,
        repair_masked,
        snapshot,
        cascade,
        cascade_queries,
        cascade_fill,
        compact,
        tidy,
        go_back,
        prune,
    )
}


def prepare(root: Path) -> None:
    """30 documents; pairs `one` and `two`, both served, `two` is live and both lag behind 18 changes: two batches."""
    import vecrollback
    from vecrollback import Document

    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(30)])
        for name, spec in (("one", ONE), ("two", TWO)):
            store.reembed(spec, name=name, index="Flat").wait()
            store.promote(name)
        for version in (3, 2, 1):
            store.upsert([Document(f"d{n}", words(n, version)) for n in range(10, 15)])
        store.upsert([Document("new", words(100))])
        store.delete(["d20", "d21"])


def prepare_releases(root: Path, documents: int) -> None:
    """Pair v1 has served, v2 is live, and documents changed since."""
    import vecrollback
    from vecrollback import Document

    with vecrollback.connect(root, create=True, actor="builder") as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(documents)])
        for name, spec, reason in (("v1", V1, "first"), ("v2", V2, "said to be better")):
            store.promote(store.reembed(spec, name=name).wait(), reason=reason)
        store.upsert([Document("d1", words(70)), Document("new", words(71))])
        store.delete(["d2"])


def burden(root: Path) -> None:
    """Give a prune something to do: a snapshot of `two` that has had its day, and a retired pair."""
    import vecrollback

    with vecrollback.connect(root) as store:
        store.snapshot("two", rebuild=True)
        store.retention.retire(store.reembed("hash:32?seed=9", name="three", index="Flat").wait())


def half_built(root: Path) -> None:
    """Let pair `four` serve before it is whole, with a trial that embeds nothing; some documents are newer."""
    from unittest import mock

    import vecrollback
    from vecrollback import Document
    from vecrollback.records import CascadeTrial

    with vecrollback.connect(root) as store:
        with mock.patch("vecrollback.quality.cascade_trial.CascadeTrials.run", lambda *_, **__: CascadeTrial(1)):
            cascade(store)
        store.upsert([Document(f"late{n}", words(n + 200)) for n in range(2)])


def scatter(root: Path) -> None:
    """Give a compaction something to do: small files in every table, and versions that nobody needs."""
    import vecrollback
    from vecrollback import Document

    with vecrollback.connect(root) as store:
        for number in range(2):
            store.upsert([Document(f"d{number}", words(number, 3))])
            for name in ("one", "two"):
                store.catch_up(name)


def damage(root: Path) -> None:
    """Let a faulty writer put another model's vectors into pair `two`, under its fingerprint."""
    import numpy as np
    import pyarrow as pa

    import vecrollback
    from tests.support.oracle import embedder

    with vecrollback.connect(root) as store:
        store.catch_up("two")
        pair = store.pair("two")
        vectors = store.resources.vectors_of(pair)
        rows = vectors.table.at(pair.vectors_version).to_table()
        wrong = rows.filter(pa.compute.is_in(rows["doc_id"], value_set=pa.array(["d7", "d8"])))
        made = embedder(ONE).embed_documents([words(7), words(8)]).astype(np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(made.reshape(-1)), pair.dimension)
        wrong = wrong.set_column(wrong.schema.get_field_index("vector"), wrong.schema.field("vector"), column)
        later = pa.array([pair.vectors_version + 1] * 2, pa.int64())
        wrong = wrong.set_column(wrong.schema.get_field_index("batch"), wrong.schema.field("batch"), later)
        commit = vectors.append(wrong, known=pair.vectors_version)
        store.resources.catalog.pairs.advance(
            "two",
            watermark=pair.watermark,
            vectors_version=commit.version,
            expected=pair.vectors_version,
            files=commit.files,
        )


def write_for_ever(store: Any) -> None:
    """Write and delete versions of 40 documents, three at a time; say it before and after."""
    import itertools
    import random

    from vecrollback import Document

    for version in itertools.count(int(store.status()["corpus"]["head"]) + 1):
        ids = random.sample(range(40), 3)
        texts = {f"w{n}": None if random.random() < 0.3 else words(n, version) for n in ids}
        acknowledge(begun=texts)
        store.upsert([Document(id_, text) for id_, text in texts.items() if text])
        store.delete([id_ for id_, text in texts.items() if not text])
        acknowledge(done=texts)


def build_for_ever(store: Any) -> None:
    """Build pair after pair, let each serve, catch up whatever there is."""
    import itertools

    for seed in itertools.count(len(store.pairs())):
        acknowledge(ready=store.reembed(f"hash:32?seed={seed}", name=f"p{seed}", index="Flat").wait().name)
        acknowledge(live=store.promote(f"p{seed}").target)


def start(
    *arguments: str,
    module: str = "tests.support.operations",
    code: str = "",
    output: Path | None = None,
    **environment: str,
) -> subprocess.Popen[str]:
    """A process of this source tree: a module, or code. What it says goes to a pipe, or to a file if it says much."""
    command = ["-c", code, *arguments] if code else ["-m", module, *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    if output is None:
        return spawn(command, env)
    with output.open("w") as file:
        return spawn(command, env, output=file)


def _trace() -> Counter[str]:
    """Count the fault points passed from now on, also in modules that are imported later."""
    from vecrollback.storage import local

    passed: Counter[str] = Counter()

    def reach(name: str) -> None:
        passed.update([name])

    original, local.reach = local.reach, reach  # for modules that are imported when they are first needed
    for module in list(sys.modules.values()):
        if getattr(module, "reach", None) is original:
            module.reach = reach  # type: ignore[attr-defined]
    return passed


def main() -> None:
    root, name, *options = sys.argv[1:]
    passed = _trace() if options else None
    import vecrollback

    endless = {"write_for_ever": write_for_ever, "build_for_ever": build_for_ever}
    with vecrollback.connect(root) as store:
        if passed is not None:
            passed.clear()
        (OPERATIONS | endless)[name](store)
    if passed is not None:
        acknowledge(points=passed)


if __name__ == "__main__":
    main()
