"""What the stamp beside a source says, and whether the model that is asked is the one it names."""

from __future__ import annotations

from dataclasses import dataclass

from vecrollback.embedders import Embedder
from vecrollback.embedders.stamp import Stamp
from vecrollback.errors import CorruptArtifactError
from vecrollback.quality.doctor.outcome import SourceFinding
from vecrollback.quality.doctor.source import ForeignIndex
from vecrollback.records import Json


@dataclass(frozen=True, slots=True)
class StampNote:
    """What a report says of a stamp: findings, and facts; both empty where a source has none."""

    findings: tuple[SourceFinding, ...] = ()
    facts: dict[str, Json] | None = None


def read_stamp(source: ForeignIndex, embedder: Embedder | None) -> StampNote:
    """Read the stamp of a source; with a model compare the two. Embeds up to 80 texts."""
    text = source.connector.stamp if hasattr(source.connector, "stamp") else None
    if text is None:
        return StampNote()
    try:
        stamp = Stamp.parse(text)
    except CorruptArtifactError as error:
        return StampNote((SourceFinding("stamp_unreadable", 1, (), {}, error.message, "unknown"),))
    if embedder is None:
        return StampNote(facts=stamp.facts())
    compared = stamp.compare(embedder)
    facts = stamp.facts() | {"agrees": compared.agrees}
    if compared.agrees:
        return StampNote(facts=facts)
    message = (
        f"the stamp beside the vectors was made with {stamp.spec} at {stamp.at}; {embedder.spec} is another model: "
        f"cosine {compared.worst_cosine:.4f} for a probe ({compared.cause})"
    )
    return StampNote((SourceFinding("stamp_differs", source.count, (), {}, message, "fail"),), facts)
