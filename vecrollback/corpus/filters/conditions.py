"""A filter as a tree of conditions, with the limits that both spellings share.

The tree holds names and values, nothing of what the user typed: whoever evaluates it meets no string of a stranger.
Limits are far above what people write and far below what could hurt: evaluation takes time by terms and documents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from vecrollback.errors import BadFilterError

MAX_CHARACTERS = 1 << 18
MAX_DEPTH = 32
MAX_TERMS = 1_000
MAX_VALUES = 10_000
MAX_PATTERN = 1_000
MAX_PATTERNS = 20
"""A pattern takes 30 times as long as a comparison."""

MAX_KEY = 1_000
DOCUMENT_ID = "$id"
"""The name in filters of a document's own id; every other name is a key of the metadata."""

Value = str | float | int | bool
_KINDS: dict[type, str] = {str: "string", float: "number", int: "number", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class KeyComparison:
    """`key operator value`; the operator is one of = != < <= > >=."""

    key: str
    operator: str
    value: Value
    at: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class OneOf:
    """The key's value is one of these."""

    key: str
    values: tuple[Value, ...]
    at: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Like:
    """SQL's LIKE: `%` is any run of characters, `_` is one, a backslash takes the next one as it is."""

    key: str
    pattern: str
    ignore_case: bool
    at: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class ListHolds:
    """The key's value is a list in which any, or all, of these values stand."""

    key: str
    values: tuple[Value, ...]
    quantifier: Callable[[Iterable[bool]], bool]
    at: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class EmptyList:
    """The key's value is a list with nothing in it."""

    key: str
    at: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """The document has nothing, or null, under this key."""

    key: str
    at: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """`null_safe`: what is unknown, because a key is missing, counts as false inside, so as true here."""

    condition: Condition
    null_safe: bool


@dataclass(frozen=True, slots=True)
class All:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    conditions: tuple[Condition, ...]


Leaf = KeyComparison | OneOf | Like | ListHolds | EmptyList | Missing
Condition = Leaf | Not | All | Some


class Budget:
    """Counts what a filter holds. Raises BadFilterError past a limit."""

    def __init__(self) -> None:
        self._terms = self._values = self._patterns = 0

    def term(self, at: str) -> None:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise bad_filter(at, f"more than {MAX_TERMS:,} comparisons", "use IN (...), or several searches")

    def value(self, at: str) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise bad_filter(at, f"more than {MAX_VALUES:,} values", "split the list over several searches")

    def pattern(self, pattern: str, at: str) -> str:
        """The pattern itself."""
        self._patterns += 1
        if self._patterns > MAX_PATTERNS:
            raise bad_filter(at, f"more than {MAX_PATTERNS} patterns", "use IN (...), or several searches")
        if len(pattern) > MAX_PATTERN:
            raise bad_filter(at, f"a pattern of more than {MAX_PATTERN:,} characters", "shorten it")
        return pattern

    def depth(self, depth: int, at: str) -> None:
        if depth > MAX_DEPTH:
            raise bad_filter(at, f"nested more than {MAX_DEPTH} deep", "write it with fewer parentheses and NOTs")


def bad_filter(at: str, fact: str, hint: str) -> BadFilterError:
    """The error for what stands `at` a character or a path; "" is the filter as a whole."""
    return BadFilterError(f"where, at {at}: {fact}" if at else f"where: {fact}", hint=hint)


def leaves(condition: Condition) -> Iterator[Leaf]:
    if isinstance(condition, All | Some):
        for one in condition.conditions:
            yield from leaves(one)
    elif isinstance(condition, Not):
        yield from leaves(condition.condition)
    else:
        yield condition


def kind_of(value: Value) -> str:
    """Its type as people name it: a string, a number or a boolean. Values of different kinds are never equal."""
    return _KINDS[type(value)]


def check_key(key: str, at: str) -> str:
    """The key itself. Raises BadFilterError for what no metadata has."""
    if len(key) > MAX_KEY:
        raise bad_filter(at, f"{_shown(key)} is longer than {MAX_KEY:,} characters", "filter on a shorter key")
    return check_string(key, at)


def check_string(text: str, at: str) -> str:
    """The string itself. Raises BadFilterError for one that no document can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise bad_filter(at, "a lone surrogate is not valid Unicode", "send the filter as UTF-8") from None
    if "\0" in text:
        raise bad_filter(at, "a NUL character", "no document holds one")
    return text


def check_number(number: float, at: str) -> float:
    """The number itself; integers are compared exactly. Raises BadFilterError for one past every double."""
    try:
        finite = math.isfinite(float(number))
    except OverflowError:
        finite = False
    if not finite:
        raise bad_filter(at, "the number is too large", "numbers go up to 1.7e308")
    return number


def check_comparison(comparison: KeyComparison) -> KeyComparison:
    """The comparison itself. Raises BadFilterError for booleans in an order."""
    if isinstance(comparison.value, bool) and comparison.operator not in ("=", "!="):
        raise bad_filter(comparison.at, "true and false have no order", f"{comparison.key} = true")
    return comparison


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."
