"""Every error vecrollback raises on purpose.

Each one carries what was asked, what was found and, in `hint`, what to do next. The class decides the
exit code of the command line, so a script can tell a refusal from a failure::

    VecrollbackError
    ├── FailedError                1  the work was tried and did not hold
    │   ├── CorruptArtifactError      bytes differ from their recorded digest, or cannot be read
    │   │   └── CatalogOlderError      the tables are newer than the catalog that names their versions
    │   ├── CatalogUnavailableError   the catalog cannot be read or written now
    │   │   └── CommitUnknownError    it went away while it committed; nobody can tell yet whether it did
    │   ├── StorageUnavailableError   the object storage that holds the files cannot be reached now
    │   ├── OverloadedError           the server has no room for another request now
    │   ├── UnreachableError          no answer came from the server
    │   ├── EmbeddingError            the model or its service gave no usable vectors
    │   │   ├── TextRefusedError      it does not take one of these texts, as far as can be told
    │   │   │   └── TextTooLongError  it says that one of them is longer than it reads
    │   │   └── ServiceDownError      queries of a service failed repeatedly, so none is sent for now
    │   ├── RerankerError             a reranker gave no usable scores
    │   ├── EngineLostError           the workers of a job, or their scheduler, are gone
    │   └── RecallTooLowError         the built index finds too few true neighbours
    ├── UsageError                 2  the request or the configuration is wrong
    │   ├── StoreNotFoundError
    │   ├── StoreClosedError          `close()` was called before
    │   ├── ForkedError               this process was forked in the middle of a transaction or an import
    │   ├── StoreFormatError          the store was written by a newer vecrollback
    │   ├── UnknownNameError          no such pair, snapshot, alias, tag or job
    │   │   └── NoPairServesError         no pair is live yet
    │   ├── BadDocumentError          a document that cannot be stored; knows its file and line
    │   ├── BadQueryError             a query that the pair's model cannot embed, as it embeds others
    │   ├── BadFilterError            a `where` that is not valid over the metadata
    │   ├── EmbedderSpecError
    │   ├── IndexSpecError
    │   ├── RerankerSpecError
    │   ├── BundleError               a bundle that is damaged, unsafe or not ours
    │   └── MissingDependencyError
    ├── RefusedError               3  a safety rule says no
    │   ├── UnknownCallerError        no token, or one that opens nothing
    │   ├── AccessDeniedError         the token's role does not reach that far
    │   ├── AliasMovedError           the pointer is not where the caller believed
    │   ├── HeadMovedError            another process wrote to the same table meanwhile
    │   ├── LockHeldError             another process does the same work
    │   ├── CatalogMismatchError      the catalog belongs to another store
    │   ├── UntrustedError            a file, an address or code that nobody has allowed on this machine
    │   ├── TimeWentBackError         the catalog lacks moves or changes that it had before
    │   ├── CheckRefusedError         promote of a pair that does not pass its check
    │   ├── GateRefusedError          promote of a pair that does not pass its gates, or with no way back
    │   ├── QuarantinedError          promote of a pair that was rolled back from
    │   ├── ApprovalNeededError       others have to agree first
    │   ├── NoRollbackTargetError
    │   ├── PairStateError            the pair's state does not allow this
    │   ├── DocumentExistsError       only new documents were to be written, and one of them exists
    │   ├── EmbedderChangedError      the loaded model no longer agrees with the pair's probes
    │   └── FingerprintMismatchError  vectors of another embedder
    └── StoppedError               4  stopped before the end; the same command resumes
        ├── JobCancelledError
        ├── SpendLimitError
        └── NotVisibleError           a change is durable, and the live pair has not taken it in in time
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any


class VecrollbackError(Exception):
    """Root of the tree. `str()` is the fact; `hint` is the cure. Copies and pickles whole, however it is built."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[Callable[..., VecrollbackError], tuple[Any, ...], dict[str, Any]]:
        # An exception is built again from `args` otherwise, which are the message, not what a class of its own takes.
        return _rebuilt, (type(self), self.args), self.__dict__

    @property
    def message(self) -> str:
        return str(self)


def in_words(error: BaseException) -> str:
    """What to say of an error: the fact of one of these; of any other also its class, which is half of what it says."""
    return str(error) if isinstance(error, VecrollbackError) else f"{type(error).__name__}: {error}"


def _rebuilt(kind: type[VecrollbackError], args: tuple[Any, ...]) -> VecrollbackError:
    return kind.__new__(kind, *args)


class FailedError(VecrollbackError):
    """The work was tried and did not hold."""


class CorruptArtifactError(FailedError):
    """Bytes differ from their recorded digest, or cannot be read."""


class CatalogOlderError(CorruptArtifactError):
    """The tables are newer than the catalog that names their versions: an older catalog was put back."""

    def __init__(self, table: str, *, named: int, newest: int) -> None:
        super().__init__(
            f"the catalog is older than the tables: it names version {named} of table {table}, which is gone; "
            f"version {newest} is there",
            hint="nothing was changed and nothing is lost: put back the catalog that belongs to these tables, which is "
            "the newest catalog.db, or the whole directory from one backup; or `vecrollback reconcile` goes on from "
            "the tables",
        )
        self.table = table
        self.named = named
        self.newest = newest


class CatalogUnavailableError(FailedError):
    """The catalog cannot be read or written now; nothing was changed."""

    @classmethod
    def of_damage(cls, place: str, fact: str) -> CatalogUnavailableError:
        """For a catalog whose own file or rows are damaged, so that trying again is no cure."""
        return cls(
            f"the catalog {place} is damaged: {fact}",
            hint="put a copy of the catalog back and run `vecrollback reconcile`, or restore the store: "
            "`vecrollback backup restore`",
        )


class StorageUnavailableError(FailedError):
    """The object storage that holds the files cannot be reached, or refuses; nothing is known about them."""


class OverloadedError(FailedError):
    """The server has no room for another request now; `retry_after` is in seconds."""

    def __init__(self, message: str, *, hint: str = "", retry_after: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class UnreachableError(FailedError):
    """No answer came from the server, or none that it could have given."""


class CommitUnknownError(CatalogUnavailableError):
    """The catalog went away while it committed, and whether it did cannot be found out now."""


class EmbeddingError(FailedError):
    """The model or its service gave no usable vectors."""


class TextRefusedError(EmbeddingError):
    """The model or its service does not take one of these texts, as far as can be told; the others it may."""


class TextTooLongError(TextRefusedError):
    """A service says that a text is longer than its model reads."""


class ServiceDownError(EmbeddingError):
    """Queries of a service failed repeatedly, so none is sent to it for a moment."""


class RerankerError(FailedError):
    """A reranker gave no usable scores."""


class EngineLostError(FailedError):
    """The workers of a job, or their scheduler, are gone; the same command goes on where it stopped."""


class RecallTooLowError(FailedError):
    """The built index finds fewer true neighbours than the floor asks for."""


class UsageError(VecrollbackError):
    """The request or the configuration is wrong."""

    exit_code = 2


class StoreNotFoundError(UsageError):
    """There is no store at this place."""


class StoreClosedError(UsageError):
    """The store was closed; it reads and writes nothing any more."""


class ForkedError(UsageError):
    """A process was forked from one that was in the middle of something, and half of it came along."""


class StoreFormatError(UsageError):
    """The store was written by a newer vecrollback."""


class UnknownNameError(UsageError):
    """No such pair, snapshot, alias, tag or job."""


class NoPairServesError(UnknownNameError):
    """No pair is live yet."""


class BadDocumentError(UsageError):
    """A document that cannot be stored.

    `source` and `line` say where it stands (line is 1-based; a row number for Parquet), when it came from a file.
    """

    def __init__(self, message: str, *, hint: str = "", source: str = "", line: int = 0) -> None:
        where = f"{source}:{line}: " if source and line else f"{source}: " if source else ""
        super().__init__(where + message, hint=hint)
        self.reason = message
        self.source = source
        self.line = line


class BadQueryError(UsageError):
    """A query that the pair's model cannot embed, while it embeds others."""


class BadFilterError(UsageError):
    """A `where` that is not valid over the metadata."""


class EmbedderSpecError(UsageError):
    """An embedder string that names nothing that can be opened."""


class IndexSpecError(UsageError):
    """An index spec that no index kind understands."""


class RerankerSpecError(UsageError):
    """A reranker string that names nothing that can be opened."""


class BundleError(UsageError):
    """A bundle that is damaged, unsafe or not ours."""


class MissingDependencyError(UsageError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed", hint=f"pip install 'vecrollback[{extra}]'")


class RefusedError(VecrollbackError):
    """A safety rule says no."""

    exit_code = 3


class UnknownCallerError(RefusedError):
    """No token, or one that opens nothing."""


class AccessDeniedError(RefusedError):
    """The token's role does not reach that far."""


class AliasMovedError(RefusedError):
    """The pointer is not where the caller believed."""

    def __init__(self, alias: str, *, expected: int, found: int) -> None:
        super().__init__(
            f"alias {alias!r}: expected epoch {expected}, found {found}",
            hint="somebody else moved it: look at `vecrollback history`, then decide again",
        )
        self.expected = expected
        self.found = found


class HeadMovedError(RefusedError):
    """Another process wrote to the same table meanwhile, which its lock should have kept out; nothing was changed.

    A process that was cut off from the catalog loses its locks without noticing. This is what stops it.
    """

    def __init__(self, table: str, *, expected: object, found: object) -> None:
        super().__init__(
            f"table {table!r}: expected to go on from {expected}, found {found}",
            hint="another process wrote meanwhile, and nothing of this was acknowledged: run the same command again",
        )
        self.expected = expected
        self.found = found


class LockHeldError(RefusedError):
    """Another process, or thread, does the same work."""

    def __init__(self, name: str, seconds: float, *, said: str = "", hint: str = "", holder: str = "") -> None:
        waiting = "`vecrollback status` shows the jobs that run; wait for them, or cancel one"
        super().__init__(
            said or f"the lock {name!r} was held by {holder or 'somebody else'} for {seconds:g} s",
            hint=hint or (f"wait for it, or end it (`kill PID`). {waiting}" if holder else waiting),
        )


class CatalogMismatchError(RefusedError):
    """The catalog belongs to another store than the directory."""


class UntrustedError(RefusedError):
    """A configuration file, an address or code from elsewhere that nobody has allowed on this machine."""


class TimeWentBackError(RefusedError):
    """The catalog lacks moves or changes that it had before: an older one was put back, or a late standby took over."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            hint="nothing was changed. Is the newer catalog still there? Put it back. If not: `vecrollback reconcile` "
            "takes back what the store's files know, and tells what is lost",
        )


class CheckRefusedError(RefusedError):
    """Promote of a pair that does not pass its check."""


class GateRefusedError(RefusedError):
    """Promote of a pair that does not pass its gates, or from which there would be no way back."""


class QuarantinedError(RefusedError):
    """Promote of a pair that was rolled back from."""


class ApprovalNeededError(RefusedError):
    """The policy wants others to agree first; the message names the request they can agree to."""


class NoRollbackTargetError(RefusedError):
    """No pair is fit to roll back to; the message says why for each one."""


class PairStateError(RefusedError):
    """The pair's state does not allow this."""


class DocumentExistsError(RefusedError):
    """Only new documents were to be written, and these exist; nothing was written."""


class EmbedderChangedError(RefusedError):
    """The loaded model no longer agrees with the pair's probes."""


class FingerprintMismatchError(RefusedError):
    """Vectors of another embedder."""


class StoppedError(VecrollbackError):
    """Stopped before the end; the same command resumes."""

    exit_code = 4


class JobCancelledError(StoppedError):
    """Somebody asked the job to stop."""


class SpendLimitError(StoppedError):
    """The next request would pass the spend limit."""


class NotVisibleError(StoppedError):
    """A change is durable, and the live pair has not taken it in within the time."""

    def __init__(self, pair: str, *, watermark: int, seq: int, seconds: float, vectors_version: int = 0) -> None:
        super().__init__(
            f"pair {pair!r} reflects the changes up to {watermark:,}, not yet {seq:,}, after {seconds:g} s",
            hint="what was written is durable, and no query needs to wait for it: wait longer with `wait`, or let "
            "`vecrollback worker` catch up",
        )
        self.watermark = watermark
        self.seq = seq
        self.vectors_version = vectors_version


def refuse_unknown(method: str, given: Iterable[str], options: type, *others: str) -> None:
    """Refuse keyword arguments that a method does not have, before it does anything.

    Args:
        method: Its name.
        given: Names of the keyword arguments that it got.
        options: The `TypedDict` of those that it takes.
        others: Names of those that it takes besides.

    Raises:
        UsageError: One of them is unknown; it names the known ones.
    """
    known = (*others, *options.__annotations__)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{method} has no option {name!r}{guess}", hint=f"its options: {', '.join(known)}")
