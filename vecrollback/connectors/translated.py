"""What goes wrong inside another library while its place is read, in words of ours.

A damaged file may show when a place is opened, or only at the row that lies in it; libraries raise errors of their own
then, of any class. To whoever reads them they mean one thing: this place cannot be read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from vecrollback.connectors.base import Connector, Part, without_password
from vecrollback.errors import CorruptArtifactError, FailedError, VecrollbackError
from vecrollback.records.arrays import Numbers

_CURE = "repair it with the program that wrote it, or examine a backup"
_MOST = 300


class Translated:
    """A connector whose every read raises CorruptArtifactError where its library fails."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.place, self.count, self.dimension = connector.place, connector.count, connector.dimension
        self.metric, self.stored = connector.metric, connector.stored
        self.fields, self.facts = connector.fields, connector.facts
        self.rounded = getattr(connector, "rounded", None)
        self.stamp: str | None = getattr(connector, "stamp", None)

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        with translated(self.place):
            yield from self._connector.scan(names, vectors=vectors)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        with translated(self.place):
            return self._connector.take(rows, names, vectors=vectors)

    def close(self) -> None:
        self._connector.close()


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Whatever a library raises inside is raised as CorruptArtifactError that names the place."""
    try:
        yield
    except (VecrollbackError, ImportError):
        raise
    except MemoryError as error:  # Arrow's own is one
        hint = "is the file sound? A damaged one may ask for any amount; else free some memory"
        raise FailedError(f"{place} needs more memory than there is", hint=hint) from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}"[:_MOST]
        raise CorruptArtifactError(f"{without_password(place)} cannot be read: {what}", hint=_CURE) from error
