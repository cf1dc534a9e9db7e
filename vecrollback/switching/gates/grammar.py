"""The language of gates: one sentence each, read without guessing.

::

    gate     = subject relation bound
    subject  = MEASURE "@" K [ "on" TAG ]                 of the golden queries, or of those with a tag
             | "recall@10 of the index"                   against exact search
             | "latency" ( "p50" | "p99" ) [ "on" TAG ]   of the golden queries, asked one at a time
             | "purity certificate"                       share of foreign vectors that the check could not rule out
             | "lag"                                      changes behind the log
    relation = ">=" | ">" | "<=" | "<" | "="
    bound    = NUMBER [ "%" | "ms" | "s" ] [ "*" "live" ] [ "at" NUMBER "%" ] | "live"
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

from vecrollback.errors import UsageError

Kind = Literal["judged", "alike", "index", "latency", "purity", "lag"]

JUDGED = ("ndcg", "recall", "mrr", "precision")
ALIKE = ("overlap", "rbo")
SUBJECTS = (
    *(f"{name}@10" for name in (*JUDGED, *ALIKE)),
    "recall@10 of the index",
    "latency p50",
    "latency p99",
    "purity certificate",
    "lag",
)
"""What can stand first, with 10 for any K."""

RELATIONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "=": operator.eq,
}
_SMALL: tuple[Kind, ...] = ("latency", "purity", "lag")
_SHARES: tuple[Kind, ...] = ("judged", "alike", "index", "purity")
_RELATIVE: tuple[Kind, ...] = ("judged", "latency")
_TOKEN = re.compile(r"\s*(>=|<=|[><=*%@]|\d+(?:\.\d+)?|\.\d+|[A-Za-z][\w.:-]*|\S)")
_EXAMPLES = "for example: ndcg@10 >= 0.98 * live; recall@10 of the index >= 0.95; lag = 0"
_MAX_K = 1_000


@dataclass(frozen=True, slots=True)
class Gate:
    """What must hold of a pair before it serves. `value` is a share, milliseconds or a count, by `kind`.

    `of_live`: `value` is a factor of what the live pair has. `confidence`: of the certificate.
    """

    text: str
    kind: Kind
    measure: str
    relation: str
    value: float
    of_live: bool = False
    k: int = 0
    tag: str | None = None
    confidence: float = 0.0

    def holds(self, value: float, limit: float) -> bool:
        return RELATIONS[self.relation](value, limit)


def parse(text: str, where: str = "") -> Gate:
    """Read one gate. Raises UsageError, which begins with `where`, points at what is wrong and says what there is."""
    return _Parser(text, where).gate()


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self._text, self._where = text, where
        self._tokens = [(match.group(1), match.start(1)) for match in _TOKEN.finditer(text.rstrip())]
        self._next = 0

    def gate(self) -> Gate:
        kind, measure, k, tag = self._subject()
        relation = self._relation(kind)
        value, of_live = self._bound(kind)
        confidence = self._confidence() if kind == "purity" else 0.0
        if self._peek():
            self._fail(f"did not expect {self._peek()!r}")
        gate = Gate(self._text.strip(), kind, measure, relation, value, of_live, k, tag, confidence)
        self._check_range(gate)
        return gate

    # -- subject ------------------------------------------------------------------------------------------------------

    def _subject(self) -> tuple[Kind, str, int, str | None]:
        word = self._peek().lower()
        if word in JUDGED or word in ALIKE:
            return self._measure_at_k(self._take().lower())
        if word == "latency":
            self._take()
            return "latency", self._one_of("p50", "p99"), 10, self._tag()
        if word == "purity":
            self._take()
            self._one_of("certificate")
            return "purity", "purity certificate", 0, None
        if word == "lag":
            self._take()
            return "lag", "lag", 0, None
        return self._unknown(word)

    def _measure_at_k(self, name: str) -> tuple[Kind, str, int, str | None]:
        self._one_of("@")
        k = self._number()
        if not 1 <= k <= _MAX_K or k != int(k):
            self._fail(f"{name}@{k:g}: K must be a whole number from 1 to {_MAX_K}", step=-1)
        if name == "recall" and self._peek().lower() == "of":
            self._take()
            self._one_of("the")
            self._one_of("index")
            if k != 10:
                self._fail("of the index only recall@10 is measured")
            return "index", "recall@10 of the index", 10, None
        return "judged" if name in JUDGED else "alike", f"{name}@{int(k)}", int(k), self._tag()

    def _tag(self) -> str | None:
        if self._peek().lower() != "on":
            return None
        self._take()
        if not self._peek()[:1].isalnum():
            self._fail("`on` needs a tag")
        return self._take()

    def _unknown(self, word: str) -> NoReturn:
        near = difflib.get_close_matches(word, ["latency", "purity", "lag", *JUDGED, *ALIKE], n=1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        self._fail(f"{word!r} is not a valid measure{guess}" if word else "it is empty")

    # -- relation and bound -------------------------------------------------------------------------------------------

    def _relation(self, kind: Kind) -> str:
        relation = self._take()
        if relation not in RELATIONS:
            self._fail(f"{relation!r} is not a valid relation" if relation else "a relation is missing", step=-1)
        wrong = ">" if kind in _SMALL else "<"
        if relation.startswith(wrong):
            better = "small" if kind in _SMALL else "large"
            self._fail(f"{relation!r} asks for the worse: this is better when {better}", step=-1)
        return relation

    def _bound(self, kind: Kind) -> tuple[float, bool]:
        if self._peek().lower() == "live":
            self._take()
            return self._relative(kind, 1.0)
        value = self._number()
        unit = self._peek().lower()
        if unit == "%" and kind in (*_SHARES, "latency"):
            self._take()
            value /= 100
        elif unit in ("ms", "s") and kind == "latency":
            self._take()
            return value * (1000 if unit == "s" else 1), False
        if self._peek() == "*":
            self._take()
            self._one_of("live")
            return self._relative(kind, value)
        if kind == "latency":
            self._fail("a latency needs `ms`, `s`, or `* live`")
        return value, False

    def _relative(self, kind: Kind, factor: float) -> tuple[float, bool]:
        if kind not in _RELATIVE:
            self._fail("this cannot be compared with the live pair's", step=-1)
        return factor, True

    def _confidence(self) -> float:
        self._one_of("at")
        value = self._number()
        if self._peek() == "%":
            self._take()
            value /= 100
        if not 0 < value < 1:
            self._fail("a confidence lies between 0% and 100%", step=-1)
        return value

    def _check_range(self, gate: Gate) -> None:
        if gate.kind in _SHARES and not gate.of_live and not 0 <= gate.value <= 1:
            self._fail(f"{gate.value:g} is not a valid share; write {gate.value / 100:g} or {gate.value:g}%")
        if gate.kind == "purity" and not 0 < gate.value < 1:
            self._fail("a sample can never certify 0%; write a share that is acceptable, for example 0.1%")
        if gate.kind == "lag" and gate.value != int(gate.value):
            self._fail("a lag is a whole number of changes")

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _one_of(self, *words: str) -> str:
        token = self._take().lower()
        if token not in words:
            surprise = f"found {token!r}" if token else "it ends"
            self._fail(f"expected {' or '.join(map(repr, words))}, {surprise}", step=-1)
        return token

    def _number(self) -> float:
        token = self._take()
        try:
            return float(token)
        except ValueError:
            self._fail(f"expected a number, {f'found {token!r}' if token else 'it ends'}", step=-1)

    def _fail(self, what: str, *, step: int = 0) -> NoReturn:
        at = min(self._next + step, len(self._tokens))
        column = self._tokens[at][1] if 0 <= at < len(self._tokens) else len(self._text)
        place = f"{self._where}: " if self._where else ""
        raise UsageError(
            f"{place}gate {self._text!r}, column {column + 1}: {what}",
            hint=f"a gate begins with one of: {', '.join(SUBJECTS)} (10: any K). {_EXAMPLES[0].upper()}{_EXAMPLES[1:]}",
        )
