"""Does an audit find every vector of another model, at what cost, and how fast is the screen?

Aims: every foreign vector of another model, or of a fine-tune up to a mean cosine of 0.97, with 400 embeddings and 2%
of the foreign ones beside those themselves when the suspect is known, and with at most 300 beyond the foreign ones when
it is not, in 29 of 30 runs from a share of 0.05% on; no false alarm; screening within three times what NumPy takes to
read the vectors from the same file.

Vectors are real and made once (`--keep FOLDER`): an audit's embedders look them up, so what it embeds is counted, not
timed. `search` counts everything but the uniform draws of the certificate, which follow for a bound of 1%. A plain
sample of the same size, full re-embedding, and each screen without re-embedding are put beside it; and what a look at
the 192 least usual vectors shows, which came first before texts were looked at. `--only`, `--models`, `--shares` and
`--seeds` cut it into slices.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import common
import numpy as np
from numpy.typing import NDArray
from purity_models import DIMENSION, Vectors, real, texts_of

from vecrollback.quality.purity import Arrays, AuditRequest, AuditResult, audit
from vecrollback.quality.purity.directions import between, whiten
from vecrollback.quality.purity.results import FLOOR
from vecrollback.quality.purity.screens import distances, score
from vecrollback.records.arrays import cosines

_BOUND = 0.01
_BATCH = 256
_TOPICS = 64
_TRUSTED = 200
_SPREADS = ("random", "batch", "topic")

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """What to run over one collection. `pool`: rows, the first ones, from which foreign rows are drawn."""

    collection: str
    models: tuple[str, ...]
    shares: tuple[float, ...]
    seeds: range
    pool: int | None = None
    spreads: tuple[str, ...] = _SPREADS


_LEAST_USUAL = 192
_SHARES = (0.0005, 0.001, 0.002, 0.01, 0.05, 0.2)
_RELATIVES = ("lora-strong", "lora-debsci", "len128", "prompt", "int8")
_PLANS = (
    Plan("scifact", ("sre", "l3", "lora-sci"), _SHARES, range(10)),
    Plan(
        "scifact",
        ("lora-strong", "lora-debsci", "len128", "prompt", "int8"),
        (0.01, 0.2),
        range(3),
        spreads=("random",),
    ),
    Plan("scifact", _RELATIVES[1:], (0.05, 0.2), range(3), spreads=("batch",)),
    Plan("debian", ("sre", "l3", "lora-sci"), _SHARES, range(10), pool=14_000, spreads=("random",)),
    Plan("debian", ("sre", "l3", "lora-sci"), (0.01, 0.05), range(3), pool=14_000, spreads=("batch", "topic")),
    Plan("debian-6000", ("sre", "l3", "lora-sci"), _SHARES, range(10), spreads=("random",)),
)


class World:
    """One collection: own vectors of all texts, and other models' where they are asked for."""

    def __init__(self, folder: Path, collection: str, texts: list[str], own: str) -> None:
        self.texts, self._folder, self._collection = texts, folder, collection
        self._number = {text: n for n, text in reversed(list(enumerate(texts)))}
        self.own = self.model(own)
        self.vectors = self.own.rows(np.arange(len(texts)))
        self._topics: NDArray[np.int64] | None = None

    def model(self, name: str) -> Vectors:
        return Vectors(self._folder, self._collection, name, self.texts, self._number)

    def spread(self, how: str, count: int, pool: int, seed: int) -> Rows:
        """Which rows are foreign: anywhere, batch after batch, or topic after topic (clusters of the own vectors)."""
        random = np.random.default_rng(seed)
        if how == "random":
            return np.sort(random.choice(pool, count, replace=False))
        groups = np.arange(pool) // _BATCH if how == "batch" else self._topic()[:pool]
        rank = random.permutation(int(groups.max()) + 1)[groups]
        return np.sort(np.argsort(rank, kind="stable")[:count])

    def _topic(self) -> NDArray[np.int64]:
        if self._topics is None:
            from sklearn.cluster import MiniBatchKMeans

            self._topics = MiniBatchKMeans(_TOPICS, n_init=1, random_state=0).fit_predict(self.vectors)
        return self._topics


def main() -> None:
    options = _parser().parse_args()
    with common.workspace(options.keep) as folder:
        if options.small or not real():
            texts = [row.whole for row in common.rows(260)]
            world = World(folder, "small", texts, "small")
            plan = Plan("small", ("small-sre",), (0.05,), range(1), spreads=("random",))
            measured: dict[str, Any] = {"audits": list(_run(world, plan)), "stored": _false_alarms(world, 1)}
        else:
            worlds: dict[str, World] = {}
            measured = {"audits": [], "stored": {}}
            for plan in _sliced(options):
                if plan.collection not in worlds:
                    worlds[plan.collection] = World(folder, plan.collection, texts_of(plan.collection), "minilm")
                    measured["stored"][plan.collection] = _false_alarms(worlds[plan.collection], options.pure)
                measured["audits"] += _run(worlds[plan.collection], plan)
        if "screen" in options.only:
            measured["screen"] = _rate(folder, 20_000 if options.small else 1_000_000)
    common.conclude("purity", measured, small=options.small)


def _parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__ or "", ("screen", *dict.fromkeys(plan.collection for plan in _PLANS)))
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="of all foreign models")
    parser.add_argument("--shares", nargs="+", type=float, metavar="SHARE", help="of all shares, as in 0.001")
    parser.add_argument("--spreads", nargs="+", choices=_SPREADS, default=_SPREADS)
    parser.add_argument("--seeds", nargs=2, type=int, metavar=("FIRST", "END"), help="of all seeds")
    parser.add_argument("--pure", type=int, default=3, metavar="N", help="audits of each pure index")
    return parser


def _sliced(options: argparse.Namespace) -> Iterator[Plan]:
    """What was asked for of every plan."""
    for plan in _PLANS:
        models = tuple(name for name in plan.models if name in (options.models or plan.models))
        shares = tuple(share for share in plan.shares if share in (options.shares or plan.shares))
        spreads = tuple(how for how in plan.spreads if how in options.spreads)
        seeds = range(*options.seeds) if options.seeds else plan.seeds
        if plan.collection in options.only and models and shares and spreads:
            yield replace(plan, models=models, shares=shares, spreads=spreads, seeds=seeds)


# -- audits -----------------------------------------------------------------------------------------------------------


def _run(world: World, plan: Plan) -> Iterator[dict[str, Any]]:
    pool = plan.pool or len(world.texts)
    for name in plan.models:
        other = world.model(name)
        alike = cosines(other.rows(np.arange(min(pool, 2_000))), world.vectors[:2_000][:pool])
        print(f"{plan.collection}, {name}: cosine to the own vector {alike.mean():.3f}, lowest {alike.min():.3f}")
        for share in plan.shares:
            for how in plan.spreads:
                trials = [_trial(world, other, share, how, pool, seed) for seed in plan.seeds]
                told = {key: _middle([trial[key] for trial in trials]) for key in trials[0]}
                print(f"  {share:.1%} {how}: " + ", ".join(f"{k} {v}" for k, v in told.items()), flush=True)
                what = {"collection": plan.collection, "model": name, "share": share, "spread": how}
                yield {**what, "cosine": round(float(alike.mean()), 4), "seeds": len(plan.seeds), **told}


def _trial(world: World, other: Vectors, share: float, how: str, pool: int, seed: int) -> dict[str, float]:
    foreign = world.spread(how, max(1, round(share * len(world.texts))), pool, seed)
    stored = world.vectors.copy()
    stored[foreign] = other.rows(foreign)
    different = foreign[cosines(stored[foreign], world.vectors[foreign]) < FLOOR]  # shown by re-embedding at all
    batches = np.arange(len(world.texts)) // _BATCH if how == "batch" else None
    told: dict[str, float] = {"foreign": len(different)}
    for mode in ("known", "unknown"):
        suspects = {"suspect": other} if mode == "known" else {}
        population = Arrays(stored, world.texts, batches=batches)
        found = audit(population, world.own, suspects=suspects, request=AuditRequest(bound=_BOUND, seed=seed))
        told |= {f"{mode} {key}": value for key, value in _told(found, different, seed, len(world.texts)).items()}
    return told | _alone(stored, world, other, different, seed)


def _told(found: AuditResult, different: Rows, seed: int, count: int) -> dict[str, float]:
    embedded = sum(found.embedded.values())
    drawn = found.embedded.get("random", 0)
    sample = np.random.default_rng(seed).choice(count, min(count, embedded), replace=False)
    left = len(np.setdiff1d(different, found.rows))
    return {
        "found": len(np.intersect1d(found.rows, different)) / max(1, len(different)),
        "all": float(not left),
        "false": len(np.setdiff1d(found.rows, different)),
        "beyond": embedded - drawn - len(found.rows),
        "certificate": drawn,
        "bound holds": float(left <= found.certificate.bound * found.certificate.population),
        "sample found": len(np.intersect1d(sample, different)) / max(1, len(different)),
    }


def _alone(stored: NDArray[np.float32], world: World, other: Vectors, different: Rows, seed: int) -> dict[str, float]:
    """Each screen as if it could decide: everything above the highest of 200 trusted vectors is called foreign."""
    random = np.random.default_rng(seed)
    trusted = random.choice(len(stored), min(_TRUSTED, len(stored) // 4), replace=False)
    learned, held = trusted[: len(trusted) // 2], trusted[len(trusted) // 2 :]
    population, lengths = Arrays(stored, world.texts), np.linalg.norm(stored, axis=1)
    sample = stored[random.choice(len(stored), min(len(stored), 16_384), replace=False)]
    usual = whiten(sample)
    direction = between(world.vectors[learned], other.rows(learned), usual)
    unusual = distances(population, usual.mahalanobis(), lengths)
    scores = {
        "discriminant": (score(population, direction[None], lengths)[:, 0], world.vectors[held] @ direction),
        "outliers": (unusual, usual.mahalanobis()(world.vectors[held])),
    }
    told = {"old look finds": float(np.isin(np.argsort(-unusual)[:_LEAST_USUAL], different).any())}
    for name, (every, own) in scores.items():
        flagged = np.flatnonzero(every > own.max())
        told[f"{name} alone found"] = len(np.intersect1d(flagged, different)) / max(1, len(different))
        told[f"{name} alone false"] = len(np.setdiff1d(flagged, different))
    return told


def _middle(values: list[float]) -> float:
    return round(mean(values), 4)


# -- no false alarm ---------------------------------------------------------------------------------------------------


def _false_alarms(world: World, seeds: int) -> dict[str, int]:
    """Rows called foreign in a pure index, by how its vectors were stored."""
    own = world.vectors
    scale = np.abs(own).max(axis=1, keepdims=True) / 127
    stored = {
        "float32": own,
        "float16": own.astype(np.float16).astype(np.float32),
        "bfloat16": (own.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32),
        "int8": np.asarray(np.rint(own / scale) * scale, dtype=np.float32),
    }
    told = {}
    for name, vectors in stored.items():
        every = [
            audit(Arrays(vectors, world.texts), world.own, request=AuditRequest(bound=_BOUND, seed=seed))
            for seed in range(seeds)
        ]
        told[name] = sum(len(found.rows) for found in every)
        print(f"stored as {name}: {told[name]} false alarms in {sum(found.examined for found in every)} comparisons")
    return told


# -- the pass ---------------------------------------------------------------------------------------------------------


def _rate(folder: Path, count: int) -> dict[str, float]:
    """Seconds to read vectors from a .npy file, and to screen them from it, in turns; memory that grew meanwhile."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        file = Path(place) / "vectors.npy"
        made = np.lib.format.open_memmap(file, "w+", dtype=np.float32, shape=(count, DIMENSION))
        random = np.random.default_rng(0)
        for start in range(0, count, 8_192):
            made[start : start + 8_192] = random.standard_normal(made[start : start + 8_192].shape, dtype=np.float32)
        made.flush()
        del made
        direction = random.standard_normal((1, DIMENSION), dtype=np.float32)
        lengths = np.ones(count, np.float32)
        population = Arrays(np.load(file, mmap_mode="r"), [])
        sides: dict[str, Callable[[int], object]] = {
            "read": lambda _: _read(file, count),
            "screen": lambda _: score(population, direction, lengths),
        }
        taken = common.paired(sides, list(range(2 if count < 100_000 else 7)))
        anonymous = _anonymous()
        score(population, direction, lengths)
        told = {name: round(common.middle(seconds), 4) for name, seconds in taken.items()}
        ratio = common.ratio(taken["screen"], taken["read"])
        print(f"{count:,} x {DIMENSION}: read {told['read']} s, screen {told['screen']} s, ratio {ratio:.2f}")
        return {"vectors": count, **told, "ratio": round(ratio, 3), "grown_mb": round(_anonymous() - anonymous, 1)}


def _read(file: Path, count: int) -> None:
    """Into one buffer, block by block: what NumPy can do at best with a file larger than memory."""
    buffer = np.empty((8_192, DIMENSION), np.float32)
    with file.open("rb") as stream:
        stream.seek(file.stat().st_size - count * DIMENSION * 4)
        while stream.readinto(buffer.data.cast("B")):
            pass


def _anonymous() -> float:
    """MB of memory that is no cached file."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


if __name__ == "__main__":
    main()
