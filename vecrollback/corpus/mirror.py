"""What a source no longer has: the documents that `ingest --mirror` deletes, and when it does not."""

from __future__ import annotations

import os
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path, PurePosixPath

import numpy as np

from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.documents import document_digest, shown
from vecrollback.corpus.formats.folder import LINKED_FOLDERS
from vecrollback.corpus.formats.pages import PAGES
from vecrollback.corpus.formats.rows import PassedOver
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

    def lost(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that did not come by, sorted."""
        return sorted(id_ for id_, is_lost in zip(ids, self.lacks(ids).tolist(), strict=True) if is_lost)

    def gone(self, ids: Sequence[str], *, override: bool) -> list[str]:
        """The same, to be deleted. `override`: also when they are more than half of all.

        Raises:
            RefusedError: They are more than half, and nobody said that this is meant.
        """
        gone = self.lost(ids)
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

    Attributes:
        seq: The last change before: what was written or deleted after it stays as it is.
    """

    def __init__(self, corpus: Corpus, within: str | None = None, *, override: bool = False) -> None:
        self._override = override
        among = DocumentSet.of(within, None)  # files have no namespace, so those that are in one are none of theirs
        self.seq = corpus.state().head  # first: what is written in between is taken for later
        self._ids = corpus.at_head(lambda state: corpus.matching(among, version=state.version)).to_pylist()

    def gone(
        self, seen: SeenRows, doubt: str, passed_over: Sequence[PassedOver] = (), sources: Sequence[Path] = ()
    ) -> tuple[list[str], str]:
        """Ids of the documents that no source has, sorted; and why there are none of them, where that is in doubt.

        Args:
            seen: What the sources have.
            doubt: Why nothing can be said of any document; "" where that is not so.
            passed_over: What was not read of the sources.
            sources: All of them.

        Raises:
            RefusedError: They are more than half of the documents, and nobody said that this is meant.
        """
        if doubt:
            return [], f"nothing was deleted: {doubt}"
        lost = seen.lost(self._ids) if passed_over else []
        if lost and (doubt := _doubt(lost, passed_over, sources)):
            return [], f"nothing was deleted: {doubt}"
        return seen.gone(self._ids, override=self._override), ""


def _doubt(gone: Sequence[str], passed_over: Sequence[PassedOver], sources: Sequence[Path]) -> str:
    """Which of these documents may be in something that was not read; "" when none can be."""
    ids = sorted(unicodedata.normalize("NFC", id_) for id_ in gone)
    for one in passed_over:
        if held := _held(ids, one):
            return (
                f"{one.path} was left out ({one.kind}), and document {shown(held)} may be in it; put a file or folder "
                "that is read in its place, or delete by their ids the documents that are no longer wanted"
            )
    # No document of a folder of texts has another suffix: it came from a table, or from somewhere else.
    foreign = next((id_ for id_ in ids if PurePosixPath(id_).suffix.lower() not in PAGES), "")
    for one in passed_over:
        held = foreign if one.among_texts else ids[0]
        if one.holds_rows and held and not _is_read(one, sources):
            return (
                f"{one.path} was left out ({one.kind}), and document {shown(held)} may be in it; name it as a source "
                "of its own, or say with `within` which documents are those of the sources"
            )
    return ""


def _held(ids: Sequence[str], one: PassedOver) -> str:
    """The first of these documents, sorted, that may be at this place or below it; "" for none."""
    place = unicodedata.normalize("NFC", one.place)
    folder, _, name = place.rpartition("/")
    # `a.md.gz` and `.a.md.icloud` are `a.md` still, packed or kept elsewhere; `a.rst` has another name.
    names = [place, *(f"{folder}/{part}" if folder else part for part in _names_inside(name))]
    for begin in (*names, f"{place}/"):
        at = bisect_left(ids, begin)
        if place and at < len(ids) and (ids[at].startswith(begin) if begin.endswith("/") else ids[at] == begin):
            return ids[at]
    return ""


def _names_inside(name: str) -> Iterator[str]:
    name = name.removeprefix(".")
    while suffix := PurePosixPath(name).suffix:
        name = name.removesuffix(suffix)
        if PurePosixPath(name).suffix.lower() in PAGES:
            yield name


def _is_read(one: PassedOver, sources: Sequence[Path]) -> bool:
    """Whether this was read all the same: by its own name, or with the folder that a link leads into."""
    real = Path(os.path.realpath(one.path))
    for source in sources:
        root = Path(os.path.realpath(source))
        if source == one.root and one.kind != LINKED_FOLDERS:
            continue
        if real.is_relative_to(root) and not any(part.startswith(".") for part in real.relative_to(root).parts):
            return True
    return False


def _short(id_: str) -> int:
    return int.from_bytes(blake2b(id_.encode(), digest_size=8).digest(), "little")
