"""What a store does with long work: lists jobs, starts, pauses and cancels them, and says what they left undone.

These are methods of `Store`, which has everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from vecrollback.catalog import now
from vecrollback.errors import UnknownNameError, UsageError
from vecrollback.records import Acceptance, JobRecord, Pair, ProgressCallback, RuntimeBatches, UnembeddedDocument

if TYPE_CHECKING:
    from vecrollback.catalog import Catalog
    from vecrollback.reembedding.jobs import Job

T = TypeVar("T")


class JobMethods:
    """The methods of `Store` about jobs."""

    if TYPE_CHECKING:  # what `Store` has

        @property
        def _catalog(self) -> Catalog: ...
        @property
        def actor(self) -> str: ...
        def pair(self, pair: Pair | str) -> Pair: ...

    def jobs(
        self, *, unfinished: bool = False, kind: str | None = None, pair: str | None = None, limit: int | None = None
    ) -> list[JobRecord]:
        """List jobs: re-embedding, catch-up, repair and what else takes long.

        Of those that are done the newest 200 of each kind and pair are kept.

        Args:
            unfinished: Only those that are not done: running, failed, cancelled, or lost with their process.
            kind: Only jobs of this kind, such as `catch-up`.
            pair: Only jobs of the pair of this name.
            limit: At most so many.

        Returns:
            The jobs, newest first.

        Example:
            >>> {job.kind for job in store.jobs()}
            {'reembed'}
        """
        return self._catalog.jobs.all(unfinished=unfinished, kind=kind, pair=pair, limit=limit)

    def job(self, job: str) -> JobRecord:
        """Read one job as it stands.

        Args:
            job: Its id.

        Returns:
            The job: state, progress, error, and where it runs.

        Raises:
            UnknownNameError: There is no such job.

        Example:
            >>> store.job(store.jobs()[0].id).state
            'done'
        """
        return self._catalog.jobs.get(job)

    def start_job(self, kind: str, pair: str, work: Callable[[ProgressCallback], T]) -> Job[T]:
        """Run any long work as a job, so that it can be watched, paused and cancelled from every process.

        Args:
            kind: What it is, for people.
            pair: The name of the pair that it is about.
            work: Is called on a thread of its own. The callback it gets reports progress, waits while the job is
                paused, and raises JobCancelledError when it was cancelled.

        Returns:
            The job, already running.

        Example:
            >>> store.start_job("count", "v1", lambda progress: len(store.pairs())).wait()
            2
        """
        from vecrollback.reembedding.jobs import Job, Reporter

        record = self._catalog.jobs.start(kind, pair)
        reporter = Reporter(self._catalog, record.id, None)
        return Job(self._catalog, record, lambda: work(reporter.check))

    def cancel(self, job: str) -> JobRecord:
        """Ask a job to stop at its next batch, wherever it runs. What is done stays done.

        Args:
            job: Its id.

        Returns:
            The job as it stands now.

        Raises:
            UnknownNameError: There is no such job.

        Example:
            >>> store.cancel(store.jobs()[0].id).state  # it had ended already
            'done'
        """
        self._catalog.jobs.cancel(job)
        return self.job(job)

    def pause(self, job: str) -> JobRecord:
        """Ask a job to wait before its next batch, until `resume`, wherever it runs.

        Args:
            job: Its id.

        Returns:
            The job as it stands now.

        Raises:
            UnknownNameError: There is no such job.

        Example:
            >>> store.pause(store.jobs()[0].id).kind
            'reembed'
        """
        return self._set_paused(job, paused=True)

    def resume(self, job: str) -> JobRecord:
        """Let a paused job go on.

        Args:
            job: Its id.

        Returns:
            The job as it stands now.

        Raises:
            UnknownNameError: There is no such job.

        Example:
            >>> store.resume(store.jobs()[0].id).paused
            False
        """
        return self._set_paused(job, paused=False)

    def unembedded_documents(
        self, job: str | None = None, *, pair: Pair | str | None = None
    ) -> list[UnembeddedDocument]:
        """List documents that could not be embedded and that still have no vector.

        Args:
            job: Only those of the job of this id.
            pair: Only those of this pair.

        Returns:
            Each with the reason the model gave, and who accepted that it stays so, if anybody did.

        Raises:
            UnknownNameError: There is no such pair.

        Example:
            >>> store.unembedded_documents(store.jobs()[0].id)
            []
        """
        return self._catalog.embedding.without(job=job, pair=None if pair is None else self.pair(pair).name)

    def accept(
        self, pair: Pair | str, documents: Sequence[str], *, reason: str, actor: str | None = None
    ) -> list[UnembeddedDocument]:
        """Accept by name that documents which a pair's model cannot embed have no vector there.

        A check then warns of them in place of saying `unknown`, so that nothing else needs to be overridden. It holds
        for each document as it is now: a new text is embedded like any other.

        Args:
            pair: The pair, or its name.
            documents: Their ids, as `unembedded_documents` lists them.
            reason: Why; it is kept with each of them, and in the audit.
            actor: Who says so. Default: the store's actor.

        Returns:
            These documents, with what was said.

        Raises:
            UnknownNameError: There is no such pair, or it has no such document without a vector.
            UsageError: There is no reason, or no document.

        Example:
            >>> store.accept("v1", ["tea"], reason="a table of digits")
            Traceback (most recent call last):
                ...
            vecrollback.errors.UnknownNameError: pair 'v1' has no document 'tea' that its model could not embed
        """
        if not reason.strip():
            raise UsageError("accepting a document needs a reason", hint="--reason 'a table of digits, no text'")
        name, left_out = self._left_out(pair, documents)
        who, at = actor or self.actor, now()
        self._catalog.audits.add(who, "document.accept", f"{name}: {', '.join(left_out)} ({reason})")
        self._catalog.embedding.accept([Acceptance(name, id_, seq, reason, who, at) for id_, seq in left_out.items()])
        return [one for one in self.unembedded_documents(pair=name) if left_out.get(one.document) == one.seq]

    def withdraw_acceptance(
        self, pair: Pair | str, documents: Sequence[str], *, actor: str | None = None
    ) -> list[UnembeddedDocument]:
        """Take back that documents were accepted without a vector; the next check says `unknown` of them again.

        Args:
            pair: The pair, or its name.
            documents: Their ids.
            actor: Who says so. Default: the store's actor.

        Returns:
            These documents, as they stand now.

        Raises:
            UnknownNameError: There is no such pair, or it has no such document without a vector.
            UsageError: There is no document.

        Example:
            >>> store.withdraw_acceptance("v1", ["tea"])
            Traceback (most recent call last):
                ...
            vecrollback.errors.UnknownNameError: pair 'v1' has no document 'tea' that its model could not embed
        """
        name, left_out = self._left_out(pair, documents)
        self._catalog.audits.add(actor or self.actor, "document.withdraw", f"{name}: {', '.join(left_out)}")
        self._catalog.embedding.withdraw(name, list(left_out))
        return [one for one in self.unembedded_documents(pair=name) if left_out.get(one.document) == one.seq]

    def _left_out(self, pair: Pair | str, documents: Sequence[str]) -> tuple[str, dict[str, int]]:
        """The pair's name; of these documents the newest seq at which its model could not embed them."""
        if not documents:
            raise UsageError("no document is named", hint="`vecrollback accept PAIR` lists them")
        name = self.pair(pair).name
        seqs = {one.document: one.seq for one in self.unembedded_documents(pair=name)}  # in the order of their seqs
        if unknown := [id_ for id_ in documents if id_ not in seqs]:
            raise UnknownNameError(
                f"pair {name!r} has no document {unknown[0]!r} that its model could not embed",
                hint=f"`vecrollback accept {name}` lists them",
            )
        return name, {id_: seqs[id_] for id_ in documents}

    def runtime_batches(self, pair: Pair | str) -> list[RuntimeBatches]:
        """List which runtimes embedded batches of a pair beside its own embedder, and what was measured of each.

        Args:
            pair: The pair, or its name.

        Returns:
            One entry for each runtime of each job; none when the pair's own embedder made everything.

        Raises:
            UnknownNameError: There is no such pair.

        Example:
            >>> store.runtime_batches("v1")
            []
        """
        return self._catalog.embedding.made(self.pair(pair).name)

    def _set_paused(self, job: str, *, paused: bool) -> JobRecord:
        self.job(job)  # raises for a name that is unknown
        self._catalog.jobs.pause(job, paused)
        return self.job(job)
