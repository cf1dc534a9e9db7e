"""What a source no longer has: the documents that `ingest --mirror` deletes, and when it does not."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.documents import document_digest
from vecrollback.corpus.selection import DocumentSet
from vecrollback.errors import RefusedError
from vecrollback.records import Document

_MOST_AT_ONCE = 0.5
"""Share of the documents that a mirror deletes unasked: a source that lost more is rather a wrong or a broken one."""


class SeenRows:
    """Which documents came by, in 16 bytes for each: digests of the id and of all that the document says."""

    def __init__(self) -> None:
        self._ids, self._contents = array("Q"), array("Q")

    def note(self, document: Document) -> None:
        self._ids.append(_short(document.id))
        self._contents.append(int.from_bytes(document_digest(document)[:8], "little"))

    def repeats(self) -> tuple[int, int]:
        """Rows whose id came again later with other contents, and rows that came again as they were."""
        ids, contents = np.frombuffer(self._ids, np.uint64), np.frombuffer(self._contents, np.uint64)
        order = np.argsort(ids, kind="stable")
        again = ids[order][1:] == ids[order][:-1]
        same = contents[order][1:] == contents[order][:-1]
        return int((again & ~same).sum()), int((again & same).sum())

    def lacks(self, ids: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """For each id whether it did not come by."""
        asked = np.fromiter(map(_short, ids), np.uint64)
        return ~np.isin(asked, np.frombuffer(self._ids, np.uint64))

    def gone(self, ids: Sequence[str], *, override: bool) -> list[str]:
        """Those of the ids that did not come by, sorted. `override`: also when they are more than half of all.

        Raises:
            RefusedError: They are more than half, and nobody said that this is meant.
        """
        gone = sorted(id_ for id_, is_lost in zip(ids, self.lacks(ids).tolist(), strict=True) if is_lost)
        if len(gone) > _MOST_AT_ONCE * len(ids) and not override:
            raise RefusedError(
                f"the sources lack {len(gone):,} of {len(ids):,} documents; none was deleted",
                hint="are these the right sources? `--override` deletes all the same; `ingest --dry-run` lists what "
                "would go, and `ingest --within FILTER` names the documents that are theirs",
            )
        return gone


class Mirror:
    """The documents of a store that are to be those of some sources, and no others.

    Made before the sources are read: what somebody else writes meanwhile is none of them.

    Args:
        corpus: The documents.
        within: A filter: only documents that match it are compared with the sources; None: all of them.
        override: Delete also more than half of them.
    """

    def __init__(self, corpus: Corpus, within: str | None = None, *, override: bool = False) -> None:
        self._override = override
        among = DocumentSet.of(within, None)  # files have no namespace, so those that are in one are none of theirs
        self._ids = corpus.at_head(lambda state: corpus.matching(among, version=state.version)).to_pylist()

    def gone(self, seen: SeenRows, doubt: str) -> tuple[list[str], str]:
        """Ids of the documents that no source has, sorted; and why there are none of them, where that is in doubt.

        Raises:
            RefusedError: They are more than half of the documents, and nobody said that this is meant.
        """
        if doubt:
            return [], f"nothing was deleted: {doubt}"
        return seen.gone(self._ids, override=self._override), ""


def _short(id_: str) -> int:
    return int.from_bytes(blake2b(id_.encode(), digest_size=8).digest(), "little")
