"""A `where` that cannot hurt: read here, bounded, and evaluated from values."""

from vecrollback.corpus.filters.conditions import MAX_CHARACTERS, Condition, bad_filter, check_string
from vecrollback.corpus.filters.data import read_data
from vecrollback.corpus.filters.evaluate import FilteredRows, columns_of, matches, matches_values
from vecrollback.corpus.filters.sql import read_sql

__all__ = ["Condition", "FilteredRows", "columns_of", "matches", "matches_values", "read_filter"]


def read_filter(text: str) -> Condition:
    """The conditions of a filter, SQL or the JSON of one written as data. Raises BadFilterError."""
    if len(text) > MAX_CHARACTERS:
        fact = f"the filter has {len(text):,} characters, more than {MAX_CHARACTERS:,}"
        raise bad_filter("", fact, "split it over several searches")
    check_string(text, "")
    return read_data(text) if text.lstrip().startswith("{") else read_sql(text)
