"""The catalog's tables. Change them together with a migration in `migrations/`."""

from vecrollback.catalog.schema.base import FORMAT, corpus, earlier, file, metadata, store, tombstone
from vecrollback.catalog.schema.embedding import making, runner, unembedded
from vecrollback.catalog.schema.operations import (
    approval,
    audit,
    baseline,
    drill,
    freeze,
    incident,
    judgement,
    measurement,
    notice,
    served,
    stale_read,
    token,
)
from vecrollback.catalog.schema.pairs import alias, history, kept_model, model_answer, pair, snapshot, tag, tenure
from vecrollback.catalog.schema.quality import bridge, canary, canary_sample, gate_outcome, golden, observation
from vecrollback.catalog.schema.work import equivalence, job, report, searcher

__all__ = [
    "FORMAT",
    "alias",
    "approval",
    "audit",
    "baseline",
    "bridge",
    "canary",
    "canary_sample",
    "corpus",
    "drill",
    "earlier",
    "equivalence",
    "file",
    "freeze",
    "gate_outcome",
    "golden",
    "history",
    "incident",
    "job",
    "judgement",
    "kept_model",
    "making",
    "measurement",
    "metadata",
    "model_answer",
    "notice",
    "observation",
    "pair",
    "report",
    "runner",
    "searcher",
    "served",
    "snapshot",
    "stale_read",
    "store",
    "tag",
    "tenure",
    "token",
    "tombstone",
    "unembedded",
]
