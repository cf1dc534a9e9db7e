"""How late wrong tokens are answered, and what is remembered of who sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from vecrollback.errors import OverloadedError
from vecrollback.store import wrong_tokens
from vecrollback.store.wrong_tokens import WrongTokens


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that answers waited, without the waiting."""
    seconds: list[float] = []

    async def sleep(length: float) -> None:
        seconds.append(length)

    monkeypatch.setattr(wrong_tokens.asyncio, "sleep", sleep)
    return seconds


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_each_wrong_token_waits_longer_up_to_an_end(waits: list[float]) -> None:
    slowed = WrongTokens()

    async def many() -> None:
        for _ in range(300):
            await slowed.hold_up("10.0.0.1")

    run(many)
    assert waits[:6] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert set(waits[5:]) == {5.0}
    assert len(waits) == 295


def test_one_address_does_not_slow_another(waits: list[float]) -> None:
    slowed = WrongTokens()

    async def many() -> None:
        for _ in range(6):
            await slowed.hold_up("10.0.0.1")
        for _ in range(5):
            await slowed.hold_up("10.0.0.2")

    run(many)
    assert waits == [0.2]


def test_addresses_of_ipv4_are_counted_one_by_one_where_a_server_has_both(waits: list[float]) -> None:
    slowed = WrongTokens()

    async def many() -> None:
        for number in range(30):
            await slowed.hold_up(f"::ffff:192.0.2.{number}")
        await slowed.hold_up("192.0.2.1")

    run(many)
    assert len(slowed) == 30
    assert waits == []


def test_a_network_of_ipv6_counts_as_one_and_memory_has_a_bound(waits: list[float]) -> None:
    slowed = WrongTokens()

    async def many() -> None:
        for number in range(300):
            await slowed.hold_up(f"2001:db8::{number:x}")
        assert len(slowed) == 1
        for number in range(1, 6_000):
            await slowed.hold_up(f"2001:db8:0:{number:x}::1")
        await slowed.hold_up("")
        await slowed.hold_up("testclient")

    run(many)
    assert len(slowed) == 4_096
    assert len(waits) == 300 - 5


def test_who_was_quiet_for_a_while_begins_anew(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    slowed, present = WrongTokens(), [1000.0]
    monkeypatch.setattr(wrong_tokens.time, "monotonic", lambda: present[0])

    async def many() -> None:
        for _ in range(7):
            await slowed.hold_up("10.0.0.1")
        present[0] += 301
        await slowed.hold_up("10.0.0.1")

    run(many)
    assert waits == [0.2, 0.4]


def test_only_so_many_answers_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    slowed, open_at_last = WrongTokens(), asyncio.Event()

    async def sleep(_: float) -> None:
        await open_at_last.wait()

    async def many() -> None:
        waiting = [asyncio.ensure_future(slowed.hold_up("10.0.0.1")) for _ in range(261)]
        await real_sleep(0)
        assert sum(not one.done() for one in waiting) == 256
        with pytest.raises(OverloadedError):
            await slowed.hold_up("10.0.0.1")
        open_at_last.set()
        await asyncio.gather(*waiting)

    real_sleep = asyncio.sleep
    monkeypatch.setattr(wrong_tokens.asyncio, "sleep", sleep)
    run(many)
