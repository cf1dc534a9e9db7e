"""What differs between the documents now and at an earlier point of the log."""

from __future__ import annotations

from typing import Any

from vecrollback.corpus.earlier import EarlierDocuments
from vecrollback.errors import UsageError
from vecrollback.records import CorpusPlan, CorpusState

_COLUMNS = ["id", "_seq", "_digest", "_deleted"]


def plan_rollback(
    dataset: Any, earlier: EarlierDocuments, state: CorpusState, seq: int, *, keep_new: bool
) -> CorpusPlan:
    """What has to change so that the documents are what they were at change `seq`.

    `dataset`: the documents at `state`. Raises UsageError for a point after the head, or behind what is kept.
    """
    floor = earlier.state().floor
    if not floor <= seq <= state.head:
        raise UsageError(
            f"the log can be taken back to changes {floor:,} to {state.head:,}, not to {seq:,}",
            hint="what documents were before is kept for 30 days, and since the store has this format",
        )
    now = {row["id"]: row for row in dataset.to_table(columns=_COLUMNS, filter=f"_seq > {int(seq)}").to_pylist()}
    changed: dict[str, dict[str, Any]] = {}
    returning: dict[str, dict[str, Any]] = {}
    erased: list[str] = []
    new = {id_ for id_, row in now.items() if not row["_deleted"]}
    for row in earlier.valid_at(seq).to_pylist():
        id_, current = row["id"], now.get(row["id"])
        if row["_deleted"] or current is None:
            continue  # it did not exist then, so what is there now is new; or a catalog went back in time behind it
        if row["_erased"]:
            erased.append(id_)
        elif current["_deleted"]:
            returning[id_] = row
        else:
            new.discard(id_)
            if current["_digest"] != row["_digest"]:
                changed[id_] = row
    restored = sorted([*changed.values(), *returning.values()], key=lambda row: int(row["_seq"]))
    return CorpusPlan(
        to=seq,
        head=state.head,
        changed=tuple(sorted(changed)),
        returning=tuple(sorted(returning)),
        withdrawn=() if keep_new else tuple(sorted(new)),
        kept_new=tuple(sorted(new)) if keep_new else (),
        erased=tuple(sorted(erased)),
        seqs=tuple(int(row["_seq"]) for row in restored),
        hashes=tuple(row["_content_hash"] for row in restored),
    )
