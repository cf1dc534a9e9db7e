"""Two clients with the same methods: one waits, one is awaited."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, TypeVar, overload

import httpx

from vecrollback.client import calls, responses
from vecrollback.client.calls import HttpCall, PairLike
from vecrollback.errors import UnreachableError
from vecrollback.records import Document, JobRecord, Json, Move, Pair, Report, Result, Switched

T = TypeVar("T")
_SECONDS = 30.0
_JSON = {"Content-Type": "application/json"}
Level = Literal["full", "quick"]
Queries = list[str] | tuple[str, ...]


class Client:
    """A store over HTTP. Safe to use from many threads; close it or use `with`.

    `token`: as `vecrollback token create` printed it. `timeout`: seconds until an answer, except for promote, rollback,
    restore and check, which take as long as their work. Raises what `Store` raises, and UnknownCallerError,
    AccessDeniedError, OverloadedError (the server has no room; see `retry_after`) and UnreachableError.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = _SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=url, headers=_headers(token), timeout=timeout, transport=transport)

    @overload
    def search(self, query: str, k: int = 10, where: str | None = None, *, key: str | None = None) -> Result: ...
    @overload
    def search(
        self, query: Queries, k: int = 10, where: str | None = None, *, key: str | None = None
    ) -> list[Result]: ...
    def search(
        self, query: str | Queries, k: int = 10, where: str | None = None, *, key: str | None = None
    ) -> Result | list[Result]:
        """The k nearest documents of a query, or of each of several, from the pair that is live at this moment.

        `key`: who asks; a canary answers a stable share of them.
        """
        if isinstance(query, str):
            return self._send(calls.search(query, k, where, key))
        return self._send(calls.search_many(query, k, where, key))

    def upsert(self, documents: Iterable[Document]) -> int:
        """Write new and changed documents; returns the seq of the head. Durable when it returns."""
        return self._send(calls.upsert(documents))

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents for good; returns the seq of the head."""
        return self._send(calls.delete(ids))

    def status(self) -> dict[str, Json]:
        """What is live, how far behind each pair is, where a rollback would go, what is unfinished."""
        return self._send(calls.status())

    def pairs(self) -> list[Pair]:
        """Every pair, oldest first."""
        return self._send(calls.pairs())

    def history(self, *, alias: str | None = None, limit: int | None = None) -> list[Move]:
        """Pointer moves, newest first."""
        return self._send(calls.history(alias, limit))

    def promote(self, pair: PairLike, *, reason: str = "", override: bool = False, wait: float = 10.0) -> Switched:
        """Let a pair serve: catch it up, check it, have every searcher load it, move `live`."""
        return self._send(calls.promote(pair, reason, override, wait))

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
        """Move model and index back together; then, while the older pair serves, catch it up and check it."""
        return self._send(calls.rollback(to, reason, override, catch_up, wait, expected_epoch))

    def restore(
        self,
        ref: str,
        *,
        reason: str,
        catch_up: bool = True,
        wait: float = 10.0,
        expected_epoch: int | None = None,
    ) -> Switched:
        """Let one exact snapshot `PAIR@N` serve."""
        return self._send(calls.restore(ref, reason, catch_up, wait, expected_epoch))

    def check(
        self,
        pair: PairLike | None = None,
        level: Level = "full",
        *,
        bound: float = 0.01,
        confidence: float = 0.95,
        sample: int | None = None,
    ) -> Report:
        """Audit a pair (default: the live one) against the log."""
        return self._send(calls.check(pair, level, bound, confidence, sample))

    def report(self, pair: PairLike) -> Report:
        """What the newest kept check of a pair said. Raises UnknownNameError when there was none."""
        return self._send(calls.report(pair))

    def jobs(self, *, unfinished: bool = False) -> list[JobRecord]:
        """Jobs, newest first."""
        return self._send(calls.jobs(unfinished))

    def cancel(self, job: str) -> JobRecord:
        """Ask a job to stop at its next batch."""
        return self._send(calls.control(job, "cancel"))

    def pause(self, job: str) -> JobRecord:
        """Ask a job to wait before its next batch, until `resume`."""
        return self._send(calls.control(job, "pause"))

    def resume(self, job: str) -> JobRecord:
        """Let a paused job go on."""
        return self._send(calls.control(job, "resume"))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: HttpCall[T]) -> T:
        try:
            response = self._http.request(call.method, call.path, **_options(call))
        except httpx.TransportError as error:
            raise _unreachable(self._http.base_url, error) from error
        return _read(call, response)


class AsyncClient:
    """The same as `Client`, awaited. Close it with `aclose` or use `async with`."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = _SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(token), timeout=timeout, transport=transport)

    @overload
    async def search(self, query: str, k: int = 10, where: str | None = None, *, key: str | None = None) -> Result: ...
    @overload
    async def search(
        self, query: Queries, k: int = 10, where: str | None = None, *, key: str | None = None
    ) -> list[Result]: ...
    async def search(
        self, query: str | Queries, k: int = 10, where: str | None = None, *, key: str | None = None
    ) -> Result | list[Result]:
        """See `Client.search`."""
        if isinstance(query, str):
            return await self._send(calls.search(query, k, where, key))
        return await self._send(calls.search_many(query, k, where, key))

    async def upsert(self, documents: Iterable[Document]) -> int:
        """See `Client.upsert`."""
        return await self._send(calls.upsert(documents))

    async def delete(self, ids: Iterable[str]) -> int:
        """See `Client.delete`."""
        return await self._send(calls.delete(ids))

    async def status(self) -> dict[str, Json]:
        """See `Client.status`."""
        return await self._send(calls.status())

    async def pairs(self) -> list[Pair]:
        """See `Client.pairs`."""
        return await self._send(calls.pairs())

    async def history(self, *, alias: str | None = None, limit: int | None = None) -> list[Move]:
        """See `Client.history`."""
        return await self._send(calls.history(alias, limit))

    async def promote(
        self, pair: PairLike, *, reason: str = "", override: bool = False, wait: float = 10.0
    ) -> Switched:
        """See `Client.promote`."""
        return await self._send(calls.promote(pair, reason, override, wait))

    async def rollback(
        self,
        to: PairLike | None = None,
        *,
        reason: str,
        override: bool = False,
        catch_up: bool = True,
        wait: float = 10.0,
        expected_epoch: int | None = None,
    ) -> Switched:
        """See `Client.rollback`."""
        return await self._send(calls.rollback(to, reason, override, catch_up, wait, expected_epoch))

    async def restore(
        self,
        ref: str,
        *,
        reason: str,
        catch_up: bool = True,
        wait: float = 10.0,
        expected_epoch: int | None = None,
    ) -> Switched:
        """See `Client.restore`."""
        return await self._send(calls.restore(ref, reason, catch_up, wait, expected_epoch))

    async def check(
        self,
        pair: PairLike | None = None,
        level: Level = "full",
        *,
        bound: float = 0.01,
        confidence: float = 0.95,
        sample: int | None = None,
    ) -> Report:
        """See `Client.check`."""
        return await self._send(calls.check(pair, level, bound, confidence, sample))

    async def report(self, pair: PairLike) -> Report:
        """See `Client.report`."""
        return await self._send(calls.report(pair))

    async def jobs(self, *, unfinished: bool = False) -> list[JobRecord]:
        """See `Client.jobs`."""
        return await self._send(calls.jobs(unfinished))

    async def cancel(self, job: str) -> JobRecord:
        """See `Client.cancel`."""
        return await self._send(calls.control(job, "cancel"))

    async def pause(self, job: str) -> JobRecord:
        """Ask a job to wait before its next batch, until `resume`."""
        return await self._send(calls.control(job, "pause"))

    async def resume(self, job: str) -> JobRecord:
        """Let a paused job go on."""
        return await self._send(calls.control(job, "resume"))

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _send(self, call: HttpCall[T]) -> T:
        try:
            response = await self._http.request(call.method, call.path, **_options(call))
        except httpx.TransportError as error:
            raise _unreachable(self._http.base_url, error) from error
        return _read(call, response)


def _headers(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _options(call: HttpCall[T]) -> dict[str, Any]:
    return {
        "params": call.query,
        # ASCII, so that a text which is no valid Unicode reaches the server, and is refused there with a reason.
        **({} if call.body is None else {"content": json.dumps(call.body), "headers": _JSON}),
        **({"timeout": httpx.Timeout(_SECONDS, read=None)} if call.long else {}),
    }


def _read(call: HttpCall[T], response: httpx.Response) -> T:
    try:
        body = response.json()
    except ValueError:
        raise responses.error(response.status_code, None) from None
    if response.is_error:
        raise responses.error(response.status_code, body)
    return call.read(body)


def _unreachable(url: httpx.URL, error: httpx.TransportError) -> UnreachableError:
    return UnreachableError(
        f"no answer from {url}: {error or type(error).__name__}", hint="is the server up? `vecrollback serve`"
    )
