"""Vectors in doubt: written shortly before a model was found to be another one, each batch with a proof that held.

A batch is compared before it is written, so what another model made is not. Where one batch takes several calls to a
service, or several replicas answer, a proof may have met the sound one while the rest did not. Those batches are
listed in the pair's report, which is no `pass` any more, and the next full check embeds all of them again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from vecrollback.catalog import now
from vecrollback.quality.check.findings import LAWS, Notes
from vecrollback.quality.check.rows import PairEvidence
from vecrollback.records import Finding, Pair, Report, Verdict
from vecrollback.records.arrays import Numbers

IN_DOUBT = "in_doubt"


def documents_in_doubt(keys: pa.Table, counted: Numbers, draws_of: Callable[[int], int], enough: int) -> list[str]:
    """Ids of the documents in the newest batches, until `enough` probes rode with them.

    Args:
        keys: All rows of the pair's vectors.
        counted: Those of them that count.
        draws_of: How many probes ride with so many texts.
        enough: Draws; 0 where every call is proven, and nothing is in doubt.
    """
    rows = np.asarray(counted)[np.asarray(keys["ordinal"])[counted] >= 0]
    batches = np.asarray(keys["batch"])[rows]
    doubted, draws = np.zeros(len(rows), dtype=bool), 0
    for batch in np.unique(batches)[::-1]:
        if draws >= enough:
            break
        here = batches == batch
        doubted |= here
        draws += draws_of(int(np.count_nonzero(here)))
    return list(dict.fromkeys(keys["doc_id"].take(pa.array(rows[doubted])).to_pylist()))


def with_doubt(before: Report | None, pair: Pair, ids: list[str], reason: str, head: int) -> Report:
    """The pair's newest report with these documents in doubt beside what it said, and beside those of earlier times."""
    earlier = before.ids(IN_DOUBT) if before else []
    ids = list(dict.fromkeys([*earlier, *ids]))
    message = f"vectors written shortly before the model was found to be another one; check the pair: {reason}"
    finding = Finding(LAWS[IN_DOUBT], IN_DOUBT, len(ids), tuple(ids), message, "unknown")
    if before is None:
        return Report(pair.name, pair.snapshot, "full", "unknown", (finding,), None, pair.watermark, head, now())
    others = tuple(one for one in before.findings if one.kind != IN_DOUBT)
    verdict: Verdict = "fail" if before.verdict == "fail" else "unknown"
    return replace(before, verdict=verdict, findings=(*others, finding), at=now())


def keep_doubt(notes: Notes, before: Report | None) -> None:
    """Let what could not be examined again stay in doubt."""
    for finding in before.findings if before else ():
        if finding.kind == IN_DOUBT:
            notes.findings.append(finding)


def rows_in_doubt(evidence: PairEvidence, population: Numbers, before: Report | None) -> Numbers:
    """Those of these rows whose documents the last report left in doubt."""
    ids = before.ids(IN_DOUBT) if before else []
    if not ids or not len(population):
        return np.empty(0, np.int64)
    of_rows = evidence.rows.keys["doc_id"].take(pa.array(population)).to_pylist()
    wanted = set(ids)
    return population[[id_ in wanted for id_ in of_rows]]
