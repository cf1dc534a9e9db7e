"""Filters as SQL: what people write after WHERE, read here and nowhere else.

    filter := term, combined with AND, OR, NOT and parentheses
    term   := name (= | == | != | <> | < | <= | > | >=) value, or the value first
            | name [NOT] IN (value, ...) | name [NOT] BETWEEN value AND value
            | name [NOT] LIKE 'pattern' | name [NOT] ILIKE 'pattern' | name IS [NOT] NULL | name
    value  := 'string' | number | TRUE | FALSE | DATE '2026-01-31' | TIMESTAMP '2026-01-31T12:00:00'
    name   := plain | "quoted" | `quoted`

Chains of AND and OR are loops; only parentheses and NOT go deeper, and those are counted. No functions, no arithmetic.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple, NoReturn

from vecrollback.corpus.filters.conditions import (
    All,
    Budget,
    Condition,
    KeyComparison,
    Like,
    Missing,
    Not,
    OneOf,
    Some,
    Value,
    bad_filter,
    check_comparison,
    check_key,
    check_number,
)

_TOKEN = re.compile(
    r"""\s+
    | (?P<string>'[^']*(?:''[^']*)*')
    | (?P<name>"[^"]*(?:""[^"]*)*"|`[^`]*`)
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<word>[^\W\d]\w*)
    | (?P<operator><=|>=|<>|!=|==|=|<|>)
    | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_RESERVED = frozenset(("AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "ILIKE", "IS", "NULL", "TRUE", "FALSE"))
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_MAX_DIGITS = 400
_NO_ARITHMETIC = "filters compare a key with a value and calculate nothing; put the result itself into the filter"
_EXAMPLE = "e.g. year >= 2020 AND (lang = 'en' OR lang IS NULL)"


class _Token(NamedTuple):
    kind: str
    text: str
    start: int

    @property
    def at(self) -> str:
        return f"character {self.start + 1}"

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words

    def shown(self) -> str:
        return repr(self.text) if len(self.text) <= 40 else f"{self.text[:40]!r}..."


def read_sql(text: str) -> Condition:
    """The tree of a filter written as SQL. Raises BadFilterError with position, fact and cure."""
    return _SqlParser(text).filter()


class _SqlParser:
    def __init__(self, text: str) -> None:
        found = _TOKEN.finditer(text)
        self._tokens = [_Token(m.lastgroup, m.group(), m.start()) for m in found if m.lastgroup]
        self._tokens.append(_Token("end", "", len(text)))
        self._next = 0
        self._budget = Budget()

    def filter(self) -> Condition:
        if self._peek().kind == "end":
            raise bad_filter("character 1", "the filter is empty", "leave `where` out to search everything")
        condition = self._any(0)
        if self._peek().kind != "end":
            self._fail_at_rest()
        return condition

    # -- combinations -------------------------------------------------------------------------------------------------

    def _any(self, depth: int) -> Condition:
        conditions = [self._all(depth)]
        while self._take_word("OR"):
            conditions.append(self._all(depth))
        return Some(tuple(conditions)) if len(conditions) > 1 else conditions[0]

    def _all(self, depth: int) -> Condition:
        conditions = [self._one(depth)]
        while self._take_word("AND"):
            conditions.append(self._one(depth))
        return All(tuple(conditions)) if len(conditions) > 1 else conditions[0]

    def _one(self, depth: int) -> Condition:
        token = self._peek()
        self._budget.depth(depth, token.at)
        if self._take_word("NOT"):
            return Not(self._one(depth + 1), null_safe=False)
        if self._take_other("("):
            condition = self._any(depth + 1)
            if not self._take_other(")"):
                self._fail(self._peek(), "expected )", f"the ( at {token.at} is not closed")
            return condition
        return self._term()

    # -- terms --------------------------------------------------------------------------------------------------------

    def _term(self) -> Condition:
        token = self._peek()
        self._budget.term(token.at)
        if self._value_follows():
            return self._value_first()
        key = self._name()
        if operator := self._operator():
            return check_comparison(KeyComparison(key, operator, self._value(), token.at))
        if self._take_word("IS"):
            negated = self._take_word("NOT")
            self._require_word("NULL", "IS takes NULL or NOT NULL")
            missing = Missing(key, token.at)
            return Not(missing, null_safe=False) if negated else missing
        negated = self._take_word("NOT")
        condition = self._set_or_pattern(key, token.at)
        if condition is not None:
            return Not(condition, null_safe=False) if negated else condition
        if negated:
            self._fail(self._peek(), "expected IN, BETWEEN or LIKE after NOT", f"{key} NOT IN ('a', 'b')")
        return KeyComparison(key, "=", True, token.at)

    def _set_or_pattern(self, key: str, at: str) -> Condition | None:
        if self._take_word("IN"):
            return OneOf(key, self._values(), at)
        if self._take_word("BETWEEN"):
            low = check_comparison(KeyComparison(key, ">=", self._value(), at))
            self._require_word("AND", "e.g. year BETWEEN 2020 AND 2024")
            self._budget.term(at)
            return All((low, check_comparison(KeyComparison(key, "<=", self._value(), at))))
        like = self._peek()
        if self._take_word("LIKE", "ILIKE"):
            pattern = self._peek()
            if pattern.kind != "string":
                self._fail(pattern, "expected a pattern in single quotes", "e.g. title LIKE 'Annual%'")
            return Like(key, self._budget.pattern(_unquoted(self._take().text), pattern.at), like.is_word("ILIKE"), at)
        return None

    def _value_first(self) -> Condition:
        """`2020 <= year`."""
        value = self._value()
        operator = self._operator()
        if not operator:
            self._fail(self._peek(), "expected a comparison such as = or <", _NO_ARITHMETIC)
        token = self._peek()
        if self._value_follows():
            self._fail(token, "a value is compared with a value", "compare a key with a value: year = 2020")
        return check_comparison(KeyComparison(self._name(), _FLIPPED[operator], value, token.at))

    def _name(self) -> str:
        token = self._take()
        if token.kind == "name":
            return check_key(_unquoted(token.text), token.at)
        if token.kind != "word" or token.text.upper() in _RESERVED:
            self._fail(token, "expected the name of a metadata key", _EXAMPLE)
        if self._peek().text == "(":
            self._fail(token, "filters have no functions", _NO_ARITHMETIC)
        return check_key(token.text, token.at)

    def _operator(self) -> str:
        if self._peek().kind != "operator":
            return ""
        text = self._take().text
        return {"==": "=", "<>": "!="}.get(text, text)

    # -- values -------------------------------------------------------------------------------------------------------

    def _values(self) -> tuple[Value, ...]:
        if not self._take_other("("):
            self._fail(self._peek(), "expected ( after IN", "e.g. lang IN ('en', 'de')")
        values = [self._value()]
        while self._take_other(","):
            values.append(self._value())
        if not self._take_other(")"):
            self._fail(self._peek(), "expected , or )", "e.g. lang IN ('en', 'de')")
        return tuple(values)

    def _value_follows(self) -> bool:
        token = self._peek()
        if token.is_word("DATE", "TIMESTAMP"):  # also names that metadata may well use
            return self._tokens[self._next + 1].kind == "string"
        return token.kind in ("string", "number") or token.is_word("TRUE", "FALSE", "NULL") or token.text in ("-", "+")

    def _value(self) -> Value:
        token = self._peek()
        self._budget.value(token.at)
        if not self._value_follows():
            self._fail_at_value(token)
        if token.text in ("-", "+"):
            self._take()
            if self._peek().kind != "number":
                self._fail(self._peek(), "expected a number after the sign", _NO_ARITHMETIC)
            number = _number(self._take())
            return -number if token.text == "-" else number
        self._take()
        if token.kind == "number":
            return _number(token)
        if token.kind == "string":
            return _unquoted(token.text)
        if token.is_word("DATE", "TIMESTAMP"):
            return _time(token, _unquoted(self._take().text))
        if token.is_word("NULL"):
            self._fail(token, "nothing equals NULL", "write IS NULL or IS NOT NULL")
        return token.is_word("TRUE")

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _take_word(self, *words: str) -> bool:
        if self._peek().is_word(*words):
            self._next += 1
            return True
        return False

    def _take_other(self, character: str) -> bool:
        token = self._peek()
        if token.kind == "other" and token.text == character:
            self._next += 1
            return True
        return False

    def _require_word(self, word: str, hint: str) -> None:
        if not self._take_word(word):
            self._fail(self._peek(), f"expected {word}", hint)

    # -- errors -------------------------------------------------------------------------------------------------------

    def _fail(self, token: _Token, fact: str, hint: str) -> NoReturn:
        if token.kind == "end":
            raise bad_filter(token.at, f"{fact}, but the filter ends", hint)
        if token.text in ("'", '"', "`"):
            raise bad_filter(token.at, f"the quote {token.text} is not closed", f"write {token.text} at its end")
        raise bad_filter(token.at, f"{fact}, not {token.shown()}" if "expected" in fact else fact, hint)

    def _fail_at_value(self, token: _Token) -> NoReturn:
        if token.kind == "name" or (token.kind == "word" and token.text.upper() not in _RESERVED):
            word = token.text[1:-1] if token.kind == "name" else token.text
            hint = f"strings take single quotes: '{word}'; a key cannot be compared with another key"
            self._fail(token, "expected a value", hint)
        self._fail(token, "expected a value", "a 'string', a number, TRUE, FALSE, DATE '2026-01-31'")

    def _fail_at_rest(self) -> NoReturn:
        token = self._peek()
        arithmetic = token.text in ("+", "-", "*", "/", "%", "|", "(")
        hint = _NO_ARITHMETIC if arithmetic else "join conditions with AND or OR, and put nothing behind them"
        self._fail(token, "expected AND, OR or the end of the filter", hint)


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)


def _number(token: _Token) -> float:
    if len(token.text) > _MAX_DIGITS:
        raise bad_filter(token.at, f"a number of more than {_MAX_DIGITS} digits", "keep long identifiers as strings")
    return check_number(int(token.text) if token.text.isdigit() else float(token.text), token.at)


def _time(token: _Token, text: str) -> str:
    """The string itself: documents keep times as ISO 8601 strings, whose order is that of time."""
    try:
        (dt.date if token.is_word("DATE") else dt.datetime).fromisoformat(text)
    except ValueError:
        fact = f"{text[:40]!r} is not a valid {token.text.upper()}"
        raise bad_filter(token.at, fact, "DATE '2026-01-31', TIMESTAMP '2026-01-31T12:00:00'") from None
    return text
