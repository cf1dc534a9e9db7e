"""The client that waits for each answer. Its methods are those of `async_client`, whose calls are awaited."""

from __future__ import annotations

from typing import TypeVar

import httpx

from vecrollback.client import calls
from vecrollback.client.calls import HttpCall, Level, PairLike
from vecrollback.client.operations import OperationMethods
from vecrollback.client.search import SearchMethods
from vecrollback.records import (
    Bridge,
    CorpusPlan,
    CorpusRollback,
    Forecast,
    JobRecord,
    Json,
    ModelAnswer,
    Move,
    Pair,
    Report,
    Situation,
    Switched,
)
from vecrollback.records.cascade import MOST_A_QUERY, MOST_A_SECOND, PromotedBy

T = TypeVar("T")


class Client(SearchMethods, OperationMethods):
    """A store over HTTP, with the methods of `Store` that search, write and operate, and with the same results.

    Safe to use from many threads. Close it, or use it with `with`. Its methods raise what those of `Store` raise, and
    UnknownCallerError (the token is unknown), AccessDeniedError (its role does not reach), OverloadedError (the server
    has no room; see `retry_after`) and UnreachableError.

    Args:
        url: Where the server is, such as `http://localhost:8080`.
        token: As `vecrollback token create` printed it.
        timeout: Seconds until an answer. Promote, rollback, restore and check take as long as their work.
        transport: Sends the requests, in place of the network.

    Example:
        >>> with Client(url) as client:
        ...     client.search("apples", k=1).pair
        'v2'
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = calls.SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=url, headers=calls.headers(token), timeout=timeout, transport=transport)

    def __repr__(self) -> str:
        # without what an address may hold of a name and a password
        return f"{type(self).__name__}({str(self._http.base_url.copy_with(userinfo=b'')).rstrip('/')!r})"

    @property
    def uri(self) -> str:
        """Where the server is."""
        return str(self._http.base_url).rstrip("/")

    def status(self) -> dict[str, Json]:
        """Describe the store.

        Returns:
            As `Store.status`, under `rollback` where a rollback would go now, and under `situation` how all stands.
        """
        return self._send(calls.status())

    def situation(self) -> Situation:
        """Tell how everything stands: the store, its way back, who watches, and the queries of the last minute.

        Returns:
            As `Store.situation`, with one more line, `queries`. It is answered while the server's catalog is lost, too:
            then most lines are `unknown`.
        """
        return self._send(calls.situation())

    def pairs(self) -> list[Pair]:
        """List every pair.

        Returns:
            The pairs, oldest first.
        """
        return self._send(calls.pairs())

    def history(self, *, alias: str | None = None, limit: int | None = None) -> list[Move]:
        """List the moves of the pointers.

        Args:
            alias: Only moves of this alias, such as `live`.
            limit: At most so many.

        Returns:
            The moves, newest first.
        """
        return self._send(calls.history(alias, limit))

    def promote(
        self,
        pair: PairLike,
        *,
        reason: str = "",
        override: bool = False,
        wait: float = 10.0,
        by: PromotedBy | None = None,
        per_query: int = MOST_A_QUERY,
        per_second: int = MOST_A_SECOND,
    ) -> Switched:
        """Let a pair serve, after the proofs that `Store.promote` names.

        Args:
            pair: The pair, or its name.
            reason: Why, for the history.
            override: Pass what would refuse; needs a reason.
            wait: Seconds to wait for searchers to acknowledge the move.
            by: "cascade" lets a pair serve whose build has only begun, beside the live one; see `Store.promote`.
            per_query: Of a cascade, texts that one query may have embedded.
            per_second: Of a cascade, texts that one searcher may embed in a second.

        Returns:
            As `Store.promote`.
        """
        return self._send(calls.promote(pair, reason, override, wait, by, (per_query, per_second)))

    def rollback(
        self,
        to: PairLike | None = None,
        *,
        reason: str,
        override: bool = False,
        catch_up: bool = True,
        wait: float = 10.0,
        expected_epoch: int | None = None,
    ) -> Switched:
        """Move model and index back together; see `Store.rollback`.

        Args:
            to: The pair to go back to, or its name. Default: the last pair that served and is fit.
            reason: Why, for the history and the incident.
            override: Go back to `to` although it is quarantined, did not pass its last check, or never served.
            catch_up: Catch up and check before this returns. False only moves.
            wait: Seconds to wait for searchers to acknowledge the move.
            expected_epoch: Epoch of `live` when this was decided. None decides on what is found.

        Returns:
            As `Store.rollback`. What went wrong after the move is told in `trouble`; the move stands.
        """
        return self._send(calls.rollback(to, reason, override, catch_up, wait, expected_epoch))

    def plan_corpus_rollback(self, to: int | str, *, keep_new: bool = False) -> CorpusPlan:
        """Tell what `rollback_corpus` would change; see `vecrollback.pairs.time_travel.TimeTravel.plan`.

        Args:
            to: The number of a change, or a time: ISO 8601, UTC unless it says otherwise, or how
                long ago, as 2h.
            keep_new: Leave the documents alone that are new since.

        Returns:
            As there, but for seqs and hashes.
        """
        return (self._send(calls.rollback_corpus(to, "", keep_new, False, dry_run=True))).plan

    def rollback_corpus(
        self, to: int | str, *, reason: str, keep_new: bool = False, catch_up: bool = True
    ) -> CorpusRollback:
        """Make the documents what they were; see `vecrollback.pairs.time_travel.TimeTravel.rollback`.

        Args:
            to: The number of a change, or a time: ISO 8601, UTC unless it says otherwise, or how
                long ago, as 2h.
            reason: Why, for the audit.
            keep_new: Leave the documents alone that are new since.
            catch_up: Bring the live and the standby pairs up to date before this returns.

        Returns:
            What was changed, and what the catch-ups did. Seqs and hashes are left out of its plan.
        """
        return self._send(calls.rollback_corpus(to, reason, keep_new, catch_up, dry_run=False))

    def restore(
        self,
        ref: str,
        *,
        reason: str,
        catch_up: bool = True,
        wait: float = 10.0,
        expected_epoch: int | None = None,
        planned: bool = False,
        override: bool = False,
    ) -> Switched:
        """Let one exact snapshot serve; see `Store.restore`.

        Args:
            ref: `PAIR@N` or a tag.
            reason: Why, for the history and the incident.
            catch_up: Catch up and check before this returns. False only moves.
            wait: Seconds to wait for searchers to acknowledge the move.
            expected_epoch: Epoch of `live` when this was decided. None decides on what is found.
            planned: Nothing is wrong with what is left: the incident says so, and none of its answers counts as bad.
            override: Serve it although its model did not answer when it was asked lately.

        Returns:
            As `Store.restore`. What went wrong after the move is told in `trouble`; the move stands.
        """
        return self._send(calls.restore(ref, reason, catch_up, wait, expected_epoch, planned, override))

    def check(
        self,
        pair: PairLike | None = None,
        level: Level = "full",
        *,
        bound: float = 0.01,
        confidence: float = 0.95,
        sample: int | None = None,
    ) -> Report:
        """Check a pair against the log; see `Store.check`.

        Args:
            pair: The pair, or its name. Default: the live one.
            level: `quick` or `full`.
            bound: The sample is large enough to certify at most this share of foreign vectors, from 0 to 1.
            confidence: Of that certificate, from 0 to 1.
            sample: Embed so many chunks again, whatever the bound.

        Returns:
            Verdict, findings, and the certificate.
        """
        return self._send(calls.check(pair, level, bound, confidence, sample))

    def ask_model(self, pair: PairLike | None = None) -> ModelAnswer:
        """Ask a pair's model whether it answers now, and record what it did; see `Store.ask_model`.

        Args:
            pair: The pair, or its name. Default: the live one.

        Returns:
            What the model did: whether it gave the pair's vectors, in how many seconds, and else why not.

        Raises:
            UnknownNameError: There is no such pair, or none is live.
        """
        return self._send(calls.ask_model(pair))

    def report(self, pair: PairLike) -> Report:
        """Read what the newest kept check of a pair said.

        Args:
            pair: The pair, or its name.

        Returns:
            The report.

        Raises:
            UnknownNameError: There is no such pair, or it was never checked.
        """
        return self._send(calls.report(pair))

    def bridge(self, a: PairLike, b: PairLike) -> Bridge:
        """Learn a map from one pair's model to another pair's space; see `Store.bridge`.

        Args:
            a: The pair whose model will embed the queries, or its name.
            b: The pair in whose space they are to be compared, or its name.

        Returns:
            The bridge, with what it was measured to be worth.
        """
        return self._send(calls.bridge(a, b))

    def forecast(
        self, embedder: PairLike, *, sample: str = "5%", seed: int | None = None, keep: PairLike | None = None
    ) -> Forecast:
        """Tell what a model would be worth before the corpus is embedded by it; see `Store.forecast`.

        Args:
            embedder: A pair, whose model it is, or `profile:NAME` of the server's vecrollback.toml.
            sample: Documents to embed at most: a number, or a share of the corpus such as "5%".
            seed: Of the draw. Default: the server draws anew.
            keep: The pair that keeps what was embedded. Default: nothing is written.

        Returns:
            The difference in nDCG@10 with its interval, time and money, and the verdict.
        """
        return self._send(calls.forecast(embedder, sample, seed, keep))

    def bridges(self) -> list[Bridge]:
        """List the bridges.

        Returns:
            At most one from each pair to each other one, newest first.
        """
        return self._send(calls.bridges())

    def jobs(
        self, *, unfinished: bool = False, kind: str | None = None, pair: str | None = None, limit: int | None = None
    ) -> list[JobRecord]:
        """List jobs.

        Args:
            unfinished: Only those that are not done: running, failed, cancelled, or lost with their process.
            kind: Only jobs of this kind, such as `catch-up`.
            pair: Only jobs of the pair of this name.
            limit: At most so many.

        Returns:
            The jobs, newest first.
        """
        return self._send(calls.jobs(unfinished, kind, pair, limit))

    def cancel(self, job: str) -> JobRecord:
        """Ask a job to stop at its next batch. What is done stays done.

        Args:
            job: Its id.

        Returns:
            The job as it stands now.
        """
        return self._send(calls.control(job, "cancel"))

    def pause(self, job: str) -> JobRecord:
        """Ask a job to wait before its next batch, until `resume`.

        Args:
            job: Its id.

        Returns:
            The job as it stands now.
        """
        return self._send(calls.control(job, "pause"))

    def resume(self, job: str) -> JobRecord:
        """Let a paused job go on.

        Args:
            job: Its id.

        Returns:
            The job as it stands now.
        """
        return self._send(calls.control(job, "resume"))

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: HttpCall[T]) -> T:
        try:
            response = self._http.request(call.method, call.path, **calls.request_options(call))
        except httpx.TransportError as error:
            raise calls.unreachable(self._http.base_url, error) from error
        return calls.parse(call, response)
