"""The state of a store as plain values: one reading of the catalog, no model, no table."""

from __future__ import annotations

from collections.abc import Mapping

from vecrollback.catalog import Catalog
from vecrollback.records import LIVE, Cascade, Json, KeptModel, ModelAnswer, Pair


def model_facts(
    kept: KeptModel | None, answer: ModelAnswer | None, words: Mapping[str, str] | None = None
) -> dict[str, Json]:
    """Whether a pair's model is kept in the store and how large it is, and what it did when it was asked last.

    `words`: what its server told of it last, which is evidence and not proof. `answers`: `pass`, `fail`, or `unknown`
    where nobody asked within the last quarter of an hour.
    """
    return {
        "kept_bytes": kept.bytes if kept else None,
        "answers": answer.standing if answer else "unknown",
        "said": answer.said if answer else "",
        "asked_at": answer.at if answer else None,
        "seconds": answer.seconds if answer else None,
        "server": dict(words or {}),
    }


def cascade_facts(cascade: Cascade | None, pair: Pair, documents: int) -> dict[str, Json] | None:
    """How far a pair is that serves before it is whole; None for every other one.

    `covered`: of the corpus's `documents` so many have vectors of their own. `embedded`: so many of them for queries.
    """
    if cascade is None or pair.state not in ("live", "standby"):
        return None
    names = ("source", "covered", "embedded", "queries", "per_query", "per_second", "started_at")
    facts = {name: getattr(cascade, name) for name in names}
    return {**facts, "documents": documents, "verdict": cascade.trial.verdict, "measured": cascade.trial.payload}


def documents_told(catalog: Catalog, pair: Pair) -> dict[str, Json]:
    """How many documents of a pair that is kept up have no vector of its model, as far as its last check saw them.

    `bridged`: theirs came over a bridge. `accepted`: they have none, as was accepted by name.
    """
    report = catalog.reports.newest(pair.name) if pair.state in ("live", "standby") else None
    counts = {one.kind: one.count for one in report.findings} if report else {}
    return {"bridged": counts.get("bridged_vector", 0), "accepted": counts.get("accepted", 0)}


def describe(catalog: Catalog) -> dict[str, Json]:
    """Aliases, head of the corpus, pairs with their lag and last verdict, searchers, unfinished jobs, setback."""
    state, setback = catalog.ledger.state(), catalog.setback()
    verdicts = catalog.reports.verdicts()
    kept, answers, words = catalog.models.all_kept(), catalog.models.answers(), catalog.models.words()
    cascades = {one.pair: one for one in catalog.cascades.all() if one.ended_at is None}
    pairs = [
        {
            "name": p.name,
            "state": p.state,
            "reason": p.state_reason,
            "embedder": p.embedder,
            "fingerprint": p.fingerprint,
            "dimension": p.dimension,
            "index": p.index_spec,
            "backend": p.backend,
            "snapshot": p.snapshot,
            "watermark": p.watermark,
            "lag": state.head - p.watermark,
            "checked": verdicts.get(p.name),
            **documents_told(catalog, p),
            "model": model_facts(kept.get(p.name), answers.get(p.name), words.get(p.name)),
            "cascade": cascade_facts(cascades.get(p.name), p, state.documents),
        }
        for p in catalog.pairs.all()
    ]
    aliases = catalog.aliases.all().items()
    jobs = catalog.jobs.all(unfinished=True)
    return {
        "alias": {name: {"pair": to.pair, "snapshot": to.snapshot, "epoch": to.epoch} for name, to in aliases},
        "corpus": {"head": state.head, "documents": state.documents},
        "pairs": pairs,
        "searchers": [{"host": r.host, "pid": r.pid, "epoch": r.epoch} for r in catalog.searchers.alive(LIVE)],
        "jobs": [
            {
                "id": j.id,
                "kind": j.kind,
                "pair": j.pair,
                "state": j.state,
                "progress": j.progress,
                "error": j.error,
                "paused": j.paused,
                "started_at": j.started_at,
            }
            for j in jobs
        ],
        "setback": str(setback) if setback else "",
    }
