"""A time as a person writes it: on the clock, or so long ago."""

from __future__ import annotations

import datetime as dt
import re

from vecrollback.errors import UsageError

_SPAN = re.compile(r"(\d{1,5}) ?([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def read_time(text: str, *, present: dt.datetime | None = None, ahead: bool = False) -> dt.datetime:
    """Read a time: ISO 8601, in UTC unless it names an offset; or a span, as 30m, 12h or 7d.

    Args:
        text: What was written.
        present: Where a span begins. None: now, by this host's clock.
        ahead: A span leads into the future; else into the past.

    Returns:
        The time, in UTC.

    Raises:
        UsageError: It is neither, or lies before the year 1 or after 9999.

    Example:
        >>> read_time("2026-01-31T12:00").isoformat()
        '2026-01-31T12:00:00+00:00'
        >>> noon = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
        >>> read_time("36h", present=noon).isoformat(), read_time("1d", present=noon, ahead=True).isoformat()
        ('2026-01-30T00:00:00+00:00', '2026-02-01T12:00:00+00:00')
    """
    written = text.strip()
    try:
        if (span := _SPAN.fullmatch(written)) is not None:
            length = dt.timedelta(**{_UNITS[span[2]]: int(span[1])})
            start = present or dt.datetime.now(dt.UTC)
            return start + length if ahead else start - length
        time = dt.datetime.fromisoformat(written)
        return time.replace(tzinfo=time.tzinfo or dt.UTC).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        span_means = "from now" if ahead else "ago"
        raise UsageError(
            f"{text!r} is not a valid time",
            hint=f"write 2026-01-31T12:00 (UTC), or how long {span_means}: 30m, 12h or 7d",
        ) from None
