"""A time as a person writes it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator

import pytest

from vecrollback.errors import UsageError
from vecrollback.records.times import read_time

_NOON = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is not UTC's."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T12:00", _NOON),  # UTC, whatever the zone of the machine is
        (" 2026-01-31T13:00:00+01:00 ", _NOON),
        ("2026-01-31", _NOON.replace(hour=0)),
        ("30m", _NOON - dt.timedelta(minutes=30)),
        ("36 h", _NOON - dt.timedelta(hours=36)),
        ("7d", _NOON - dt.timedelta(days=7)),
    ],
)
def test_a_time_is_on_the_clock_or_so_long_ago(text: str, expected: dt.datetime, tokyo: None) -> None:
    assert read_time(text, present=_NOON) == expected


def test_a_span_may_lead_ahead() -> None:
    assert read_time("90d", present=_NOON, ahead=True) == _NOON + dt.timedelta(days=90)
    before = dt.datetime.now(dt.UTC)
    assert before - dt.timedelta(hours=1) <= read_time("1h") <= dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)


@pytest.mark.parametrize("text", ["", "noon", "1y", "-3h", "2026-13-01", "0001-01-01T00:00+14:00"])
def test_what_is_not_a_time_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(UsageError, match="is not a valid time") as caught:
        read_time(text, present=_NOON)
    assert "30m, 12h or 7d" in caught.value.hint
