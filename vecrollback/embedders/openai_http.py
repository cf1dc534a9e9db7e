"""One HTTP service: address, headers, pace, retries, and errors that say what to do."""

from __future__ import annotations

import email.utils
import os
import random
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from vecrollback.embedders.circuit_breaker import breaker_of
from vecrollback.embedders.server_words import words_in, words_of
from vecrollback.embedders.service_words import Meaning, asked_wait, cure, meaning_of, no_answer, spoken
from vecrollback.embedders.spec import VARIABLE
from vecrollback.embedders.spend_limit import SpendLimit
from vecrollback.embedders.wire_forms import tokens_used
from vecrollback.errors import (
    EmbedderSpecError,
    EmbeddingError,
    MissingDependencyError,
    TextRefusedError,
    TextTooLongError,
)

if TYPE_CHECKING:
    import ssl

    import httpx

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
_MOST_PATIENCE = 600.0
"""Seconds a service may ask to wait; beyond that a person should decide."""

_OVERALL = 1.5
"""A query and its retry, together, in timeouts of one attempt."""

_MOST_SHOWN = 500
"""Characters of a service's words in a message. Cut after the secrets are out: half a key is a secret too."""

_MOST_READ = 10 * _MOST_SHOWN

_QUERY_WAIT = 0.05
_QUERY_THREADS = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to try: seconds per attempt, attempts after the first, seconds in all (None: no bound)."""

    timeout: float
    max_retries: int
    overall: float | None = None


def query_limits(timeout: float, max_retries: int) -> Limits:
    """The limits of a request that somebody waits for."""
    return Limits(timeout, max_retries, _OVERALL * timeout)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go, and what goes with each of them.

    Attributes:
        base_url: The address without its last part.
        key_name: Environment variable of the key that is sent as `Authorization: Bearer`; None: no such header.
        headers: By name; `${NAME}` in a value stands for an environment variable.
        parameters: Of the address, after its `?`.
        answer: The field that holds the vectors in an answer, "" where the answer is the list itself.
    """

    base_url: str
    key_name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    answer: str = "data"

    def sent_headers(self) -> tuple[dict[str, str], list[str]]:
        """The headers with their secrets, and the secrets, for whoever must not repeat them."""
        secrets: list[str] = []

        def look_up(name: str) -> str:
            value = os.environ.get(name, "").strip()
            if not value:
                raise EmbedderSpecError(
                    f"the environment variable {name} is not set, or is empty",
                    hint=f"export {name}=... in the process that embeds, or name another with api_key_env=",
                )
            if not (value.isascii() and value.isprintable()):  # the HTTP library would quote the header, key and all
                raise EmbedderSpecError(
                    f"the environment variable {name} holds a character that no header can carry",
                    hint=f"export {name}=... once more, on one line and in ASCII",
                )
            secrets.append(value)
            return value

        sent = {"Authorization": f"Bearer {look_up(self.key_name)}"} if self.key_name is not None else {}
        for header, value in self.headers.items():
            sent[header] = VARIABLE.sub(lambda match: look_up(match[1]), value)
        return sent, secrets


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt that gave no answer. `wait` is what the service asked for; `billed` when it may have done the work."""

    reason: str
    status: int = 0
    retry: bool = True
    billed: bool = False
    wait: float | None = None
    meaning: Meaning = "busy"


class OpenAIService:
    """Posts JSON to a service until it answers or the retries are used up. Safe to use from several threads.

    Jobs wait for a service with the patience of hours; queries, for which somebody waits, within limits of their own
    and through a breaker. Keys are read from the environment at each use and kept nowhere; error texts are searched
    for them.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        *,
        jobs: Limits,
        queries: Limits,
        rate: float | None,
        budget: SpendLimit,
    ) -> None:
        self.base_url = endpoint.base_url
        self.budget = budget
        self._endpoint = endpoint
        self._limits, self._query_limits = jobs, queries
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._pace = _RequestPace(rate)
        self._breaker = breaker_of(endpoint.base_url, model)
        self._model = model
        self._answer_words: dict[str, str] = {}

    def post(self, path: str, body: dict[str, Any], *, texts: int, most_tokens: int) -> Any:
        """Return the decoded answer. Raises EmbeddingError, or SpendLimitError before anything is sent."""
        headers, secrets = self._endpoint.sent_headers()
        for attempt in range(self._limits.max_retries + 1):
            self.budget.reserve(most_tokens)
            self._pace.wait()
            answer = self._settled(self._attempt(path, body, headers, texts, self._limits.timeout), most_tokens)
            if not isinstance(answer, _Failure):
                return answer
            if not answer.retry or attempt == self._limits.max_retries:
                raise self._error(answer, attempt + 1, secrets)
            _sleep(answer.wait if answer.wait is not None else _backoff(attempt))
        raise AssertionError("the loop above returns or raises")

    def ask(self, path: str, body: dict[str, Any], *, texts: int, most_tokens: int) -> Any:
        """The same for a query: within its own limits. Raises ServiceDownError at once while the breaker is open."""
        headers, secrets = self._endpoint.sent_headers()
        self._breaker.admit()
        limits = self._query_limits
        deadline = time.monotonic() + (limits.overall or limits.timeout)
        for attempt in range(limits.max_retries + 1):
            self.budget.reserve(most_tokens)
            self._pace.pass_by()
            seconds = min(limits.timeout, deadline - time.monotonic())
            answer = self._settled(self._attempt_within(seconds, path, body, headers, texts), most_tokens)
            if not isinstance(answer, _Failure):
                self._breaker.answered()
                return answer
            wait = answer.wait if answer.wait is not None else _QUERY_WAIT
            # A service that asks for more time than there is gets no second request.
            if not answer.retry or attempt == limits.max_retries or time.monotonic() + wait >= deadline:
                break
            _sleep(wait)
        error = self._error(answer, attempt + 1, secrets)
        if isinstance(error, TextRefusedError):  # it works, and says what it does not take
            self._breaker.answered()
        else:
            self._breaker.failed(error.message)
        raise error

    def server_words(self) -> dict[str, str]:
        """What the server tells of its model: in its last answer, and asked now, by at most three requests.

        What does not answer tells nothing. Raises EmbedderSpecError for a key that is not set.
        """
        headers, _ = self._endpoint.sent_headers()

        def look(address: str) -> Any:
            import httpx

            try:
                response = self._open().get(address, headers=headers, timeout=self._query_limits.timeout)
                return response.json() if response.status_code == 200 else None
            except (httpx.HTTPError, httpx.InvalidURL, ValueError):
                return None

        return words_of(self.base_url, self._model, look) | self._answer_words

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
            if self._pool is not None:
                self._pool.shutdown(wait=False)
            self._client = self._pool = None

    def _settled(self, answer: Any, most_tokens: int) -> Any:
        """Book what an attempt has cost. Without a report the most it can have been counts: the limit must hold."""
        if isinstance(answer, _Failure):
            self.budget.settle(most_tokens, most_tokens if answer.billed else 0)
        else:
            self.budget.settle(most_tokens, tokens_used(answer) or most_tokens)
        return answer

    def _attempt_within(
        self, seconds: float, path: str, body: dict[str, Any], headers: dict[str, str], texts: int
    ) -> Any:
        """One request that is given up after so long, whatever it hangs in: httpx bounds each step, no name look-up."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_QUERY_THREADS, "vecrollback-query")
            running = self._pool.submit(self._attempt, path, body, headers, texts, seconds)
        try:
            return running.result(timeout=seconds)
        except TimeoutError:
            sent = not running.cancel()
            return _Failure(f"no answer within {seconds:.2g} s", billed=sent)

    def _attempt(self, path: str, body: dict[str, Any], headers: dict[str, str], texts: int, seconds: float) -> Any:
        """One request: the decoded answer, or a _Failure."""
        client = self._open()
        import httpx

        endpoint = self._endpoint
        try:
            response = client.post(
                endpoint.base_url + path,
                params=endpoint.parameters or None,
                json=body,
                headers=headers,
                timeout=seconds,
            )
        except httpx.ConnectError as error:
            return _Failure(f"no connection: {error}")
        except httpx.InvalidURL as error:
            return _Failure(f"not a valid address: {error}", retry=False, meaning="model")
        except httpx.RequestError as error:  # also an answer that cannot be unpacked
            return _Failure(f"{type(error).__name__}: {error}", billed=True)
        if response.status_code != 200:
            return _refusal(response, texts, endpoint.answer)
        try:
            answer = response.json()
        except ValueError:
            return _Failure("the answer is not JSON", status=200, retry=False, billed=True)
        whole = no_answer(answer, endpoint.answer) is None
        if whole:
            self._answer_words = words_in(response.headers, answer)
        return answer if whole else _refusal(response, texts, endpoint.answer)

    def _open(self) -> httpx.Client:
        try:
            import httpx
        except ImportError as error:
            raise MissingDependencyError("httpx", "openai") from error
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(verify=_certificates())
            return self._client

    def _error(self, failure: _Failure, attempts: int, secrets: list[str]) -> EmbeddingError:
        reason = failure.reason
        for secret in sorted(secrets, key=len, reverse=True):  # one may be the beginning of another
            reason = reason.replace(secret, "***")
        reason = reason[:_MOST_SHOWN]
        status = f" with HTTP {failure.status}" if failure.status else ""
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        hint = cure(failure.meaning, failure.status, reason)
        kind = _KINDS.get(failure.meaning, EmbeddingError)
        return kind(f"{self.base_url} failed{status}{tries}: {reason}", hint=hint)


@cache
def _certificates() -> ssl.SSLContext:
    """Those to trust; loading them takes longer than a request, and each pair may have a service of its own."""
    import httpx

    return httpx.create_ssl_context()


_KINDS: Mapping[Meaning, type[EmbeddingError]] = {
    "length": TextTooLongError,
    "text": TextRefusedError,
    "batch": TextRefusedError,
}


class _RequestPace:
    """Spaces requests evenly to `rate` per minute."""

    def __init__(self, rate: float | None) -> None:
        self._gap = 60.0 / rate if rate else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        if not self._gap:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        if turn > now:
            _sleep(turn - now)

    def pass_by(self) -> None:
        """Go at once; those who can wait make room."""
        if self._gap:
            with self._lock:
                self._next = max(time.monotonic(), self._next) + self._gap


def _refusal(response: httpx.Response, texts: int, field: str) -> _Failure:
    """A refusal of so many texts, or a 200 that is no answer, which is retried like any other passing trouble."""
    status = response.status_code
    try:
        body = response.json()
    except ValueError:
        body = None
    message, code = spoken(body) if body else ("", "")
    message = (no_answer(body, field) if status == 200 else message or response.text or response.reason_phrase) or ""
    meaning = meaning_of(status, message[:_MOST_SHOWN], code if status != 200 or "error" in body else "", texts)
    wait = _retry_after(response)
    wait = asked_wait(body) if wait is None else wait
    if meaning == "quota" and wait is not None:
        meaning = "busy"  # Gemini calls a limit per minute a quota too, and says when to come back
    retry = meaning == "busy"
    if wait is not None and wait > _MOST_PATIENCE:
        retry, message = False, f"{message} (it asks to wait {wait:.0f} s)"
    return _Failure(message[:_MOST_READ], status, retry, billed=status == 200, wait=wait, meaning=meaning)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds from `Retry-After`, which is a number or a date."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _backoff(attempt: int) -> float:
    """Doubling from half a second, with jitter so that many workers do not come back together."""
    return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**attempt) * random.uniform(0.5, 1.0)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
