"""A breaker: after some queries of a service have failed, the next ones fail at once instead of each waiting for it.

One per service and model in a process, whoever opened it. Jobs do not ask it: they have the patience to wait.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime

from vecrollback.errors import ServiceDownError
from vecrollback.storage.forks import FollowsForks, follow_forks

_log = logging.getLogger(__name__)

FAILURES = 3
"""Queries in a row that fail before it opens: one lost connection is chance."""

TRY_SECONDS = 1.0
"""While it is open one query in so many seconds is sent all the same, so it closes soon after the service's return."""


class CircuitBreaker:
    """Closed: every query is sent. Open: all but one a second fail at once. An answer closes it. Safe for threads."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._failures = 0
        self._since = ""
        self._cause = ""
        self._next_try = 0.0

    @property
    def is_open(self) -> bool:
        """Whether queries fail at once now."""
        return self._failures >= FAILURES

    def admit(self) -> None:
        """Let a query pass, or raise ServiceDownError, which says what failed and since when."""
        if not self.is_open:
            return
        with self._lock:
            # By time and not by a flag: a query that never comes back must not keep the next one from trying.
            if time.monotonic() >= self._next_try:
                self._next_try = time.monotonic() + TRY_SECONDS
                return
        raise ServiceDownError(
            f"{self._service} does not answer queries since {self._since}: {self._cause}",
            hint="one query a second is sent all the same; the others follow once the service is back",
        )

    def answered(self) -> None:
        """Note that the service answered a query."""
        if not self._failures:
            return
        with self._lock:
            if self.is_open:
                _log.warning("%s answers queries again", self._service)
            self._failures, self._since, self._cause = 0, "", ""

    def failed(self, cause: str) -> None:
        """Note that a query failed for a reason that is the service's."""
        with self._lock:
            self._since = self._since or datetime.now(UTC).isoformat(timespec="seconds")
            self._failures, self._cause = self._failures + 1, cause
            if self._failures == FAILURES:
                self._next_try = time.monotonic() + TRY_SECONDS
                _log.error("%s does not answer queries since %s: %s", self._service, self._since, cause)


class _Breakers(FollowsForks):
    """The breakers of a process. A child begins with none: their locks may be held by threads that it does not have."""

    def __init__(self) -> None:
        self.forked()
        follow_forks(self)

    def forked(self) -> None:
        self._breakers: dict[tuple[str, str], CircuitBreaker] = {}
        self._lock = threading.Lock()

    def get(self, base_url: str, model: str) -> CircuitBreaker:
        with self._lock:
            return self._breakers.setdefault((base_url, model), CircuitBreaker(f"{model} at {base_url}"))


_breakers = _Breakers()


def breaker_of(base_url: str, model: str) -> CircuitBreaker:
    """The breaker that everybody in this process shares who asks this model of this service."""
    return _breakers.get(base_url, model)
