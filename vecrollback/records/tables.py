"""Tables for people: as notebooks show them, and as pandas and polars have them, which are loaded when asked for.

Whatever comes from documents is escaped in what is shown: nothing in it is markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from vecrollback.errors import MissingDependencyError

Columns = Mapping[str, list[Any]]
"""Values by the name of their column, all of one length."""

_SHOWN = 200
"""Characters of a cell."""


def html_table(titles: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> str:
    """A table, and a line below it.

    Args:
        titles: Of the columns, "" for one without.
        rows: One value for each column; numbers of a fraction are cut to four digits, None is left empty.
        note: What stands below.

    Returns:
        HTML.

    Example:
        >>> html_table(("id",), [("<tea>",)], "one")
        '<table><thead><tr><th>id</th></tr></thead><tbody><tr><td>&lt;tea&gt;</td></tr></tbody></table><p>one</p>'
    """
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows)
    below = f"<p>{escape(note)}</p>" if note else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return escape(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def pandas_frame(columns: Columns) -> Any:
    """The columns as a `pandas.DataFrame`. Raises MissingDependencyError."""
    try:
        import pandas
    except ImportError as error:
        raise MissingDependencyError("pandas", "notebook") from error
    return pandas.DataFrame(dict(columns))


def polars_frame(columns: Columns) -> Any:
    """The same as a `polars.DataFrame`. Raises MissingDependencyError.

    Values of several types in one column stay what they are: it is a column of objects then.
    """
    try:
        import polars
    except ImportError as error:
        raise MissingDependencyError("polars", "notebook") from error
    series = []
    for name, values in columns.items():
        try:
            series.append(polars.Series(name, values))
        except (TypeError, polars.exceptions.PolarsError):
            series.append(polars.Series(name, values, dtype=polars.Object))
    return polars.DataFrame(series)
