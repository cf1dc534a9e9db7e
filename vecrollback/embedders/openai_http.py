"""One HTTP service: authorisation, pace, retries, and errors that say what to do."""

from __future__ import annotations

import email.utils
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vecrollback.embedders.spend_limit import SpendLimit
from vecrollback.errors import EmbedderSpecError, EmbeddingError, MissingDependencyError

if TYPE_CHECKING:
    import httpx

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
_MOST_PATIENCE = 600.0
"""Seconds a service may ask to wait; beyond that a person should decide."""

_NO_RETRY_CODES = {"insufficient_quota", "billing_hard_limit_reached"}
_HINTS = {
    400: "a text may be longer than the model reads: split documents with chunk=, or check the model's name",
    401: "the key is wrong, or belongs to another service",
    402: "the account has no credit",
    403: "this key may not use this model",
    404: "check the model's name and base_url, which usually ends in /v1",
    413: "lower batch_size= or max_tokens_per_request=",
    422: "the service does not know one of dimensions= or encoding_format=",
    429: "the quota is used up: raise it with the provider; against rate limits set rate= (requests per minute)",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds per attempt, attempts after the first, requests per minute (None: no limit)."""

    timeout: float
    max_retries: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt that gave no answer. `wait` is what the service asked for; `billed` when it may have done the work."""

    reason: str
    status: int = 0
    retry: bool = True
    billed: bool = False
    wait: float | None = None


class OpenAIService:
    """Posts JSON to a service until it answers or the retries are used up. Safe to use from several threads.

    The key is read from the environment at each use and kept nowhere; error texts are searched for it.
    """

    def __init__(self, base_url: str, key_name: str | None, limits: Limits, budget: SpendLimit) -> None:
        self.base_url = base_url
        self.budget = budget
        self._key_name = key_name
        self._limits = limits
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._pace = _RequestPace(limits.rate)

    def post(self, path: str, body: dict[str, Any], *, most_tokens: int) -> Any:
        """Return the decoded answer. Raises EmbeddingError, or SpendLimitError before anything is sent."""
        headers = self._headers()
        for attempt in range(self._limits.max_retries + 1):
            self.budget.reserve(most_tokens)
            self._pace.wait()
            answer = self._attempt(path, body, headers)
            if not isinstance(answer, _Failure):
                # Without a report the most it can have been counts: the limit must hold.
                self.budget.settle(most_tokens, tokens_used(answer) or most_tokens)
                return answer
            self.budget.settle(most_tokens, most_tokens if answer.billed else 0)
            if not answer.retry or attempt == self._limits.max_retries:
                raise self._error(answer, attempt + 1)
            _sleep(answer.wait if answer.wait is not None else _backoff(attempt))
        raise AssertionError("the loop above returns or raises")

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def _attempt(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Any:
        """One request: the decoded answer, or a _Failure."""
        client = self._open()
        import httpx

        try:
            response = client.post(self.base_url + path, json=body, headers=headers)
        except httpx.ConnectError as error:
            return _Failure(f"no connection: {error}")
        except httpx.TransportError as error:
            return _Failure(f"{type(error).__name__}: {error}", billed=True)
        if response.status_code != 200:
            return _refusal(response)
        try:
            return response.json()
        except ValueError:
            return _Failure("the answer is not JSON", status=200, retry=False, billed=True)

    def _open(self) -> httpx.Client:
        try:
            import httpx
        except ImportError as error:
            raise MissingDependencyError("httpx", "openai") from error
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(timeout=self._limits.timeout)
            return self._client

    def _key(self) -> str | None:
        if self._key_name is None:
            return None
        key = os.environ.get(self._key_name, "").strip()
        if not key or not key.isascii():
            raise EmbedderSpecError(
                f"the environment variable {self._key_name} is not set, or is empty",
                hint=f"export {self._key_name}=... in the process that embeds, or name another with api_key_env=",
            )
        return key

    def _headers(self) -> dict[str, str]:
        key = self._key()
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _error(self, failure: _Failure, attempts: int) -> EmbeddingError:
        key = self._key()
        reason = failure.reason.replace(key, "***") if key else failure.reason
        status = f" with HTTP {failure.status}" if failure.status else ""
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        hint = _HINTS.get(failure.status, "see whether the service is up; the same command resumes where it stopped")
        return EmbeddingError(f"{self.base_url} failed{status}{tries}: {reason}", hint=hint)


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


def _refusal(response: httpx.Response) -> _Failure:
    status = response.status_code
    message, code = _message(response)
    wait = _retry_after(response)
    retry = (status in {408, 409, 429} or status >= 500) and code not in _NO_RETRY_CODES
    if wait is not None and wait > _MOST_PATIENCE:
        retry, message = False, f"{message} (it asks to wait {wait:.0f} s)"
    return _Failure(message, status=status, retry=retry, wait=wait)


def _message(response: httpx.Response) -> tuple[str, str]:
    """The service's own words and error code."""
    try:
        body = response.json()
    except ValueError:
        body = None
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        text = error.get("message") or error.get("detail") or error
        return str(text)[:500], str(error.get("code") or "")
    return str(error or response.text or response.reason_phrase)[:500], ""


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


def tokens_used(answer: Any) -> int | None:
    """Tokens that an answer says it cost; None when it does not tell."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    tokens = (usage.get("total_tokens") or usage.get("prompt_tokens")) if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) and tokens > 0 else None


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
