"""The state of a store as plain values: one reading of the catalog, no model, no table."""

from __future__ import annotations

from vecrollback.catalog import Catalog
from vecrollback.records import LIVE, Json


def describe(catalog: Catalog) -> dict[str, Json]:
    """Aliases, head of the corpus, pairs with their lag and last verdict, searchers, unfinished jobs."""
    state = catalog.ledger.state()
    verdicts = catalog.reports.verdicts()
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
            {"id": j.id, "kind": j.kind, "pair": j.pair, "state": j.state, "progress": j.progress, "error": j.error}
            for j in jobs
        ],
    }
