"""A limit on money, held by reserving before each request and settling after it."""

from __future__ import annotations

import threading

from vecrollback.errors import SpendLimitError


class SpendLimit:
    """Dollars that one embedder object may spend at `price` dollars per million tokens.

    Before a request the most it can cost is set aside, afterwards what it did cost is booked. The sum of both never
    passes `limit`; a request that could pass it is not sent. Counts from zero in every process.
    """

    def __init__(self, *, limit: float | None, price: float) -> None:
        self._limit = limit
        self._price = price / 1e6
        self._spent = 0.0
        self._reserved = 0.0
        self._lock = threading.Lock()

    @property
    def price(self) -> float | None:
        """Dollars per million tokens; None when nobody said."""
        return self._price * 1e6 or None

    @property
    def spent(self) -> float:
        with self._lock:
            return self._spent

    def reserve(self, tokens: int) -> None:
        """Set aside the price of `tokens`. Raises SpendLimitError when the limit does not allow it."""
        cost = tokens * self._price
        with self._lock:
            if self._limit is not None and self._spent + self._reserved + cost > self._limit:
                raise SpendLimitError(
                    f"the next request may cost up to ${cost:.6f}; ${self._spent + self._reserved:.6f} of the limit "
                    f"of ${self._limit:g} is spent or set aside",
                    hint="raise spend_limit= and run the same command again: finished work is not paid twice",
                )
            self._reserved += cost

    def settle(self, reserved: int, used: int) -> None:
        """Replace a reservation by what was used; 0 for a request that was refused."""
        with self._lock:
            # Never below zero: sums of floats leave a remainder.
            self._reserved = max(0.0, self._reserved - reserved * self._price)
            self._spent += used * self._price
