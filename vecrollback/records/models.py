"""The models behind pairs: their files as the store keeps them, and what they did when they were asked last."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

ANSWER_SECONDS = 900.0
"""How long what a model did when it was asked tells something about now. A worker asks three times as often."""

ModelVerdict = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class KeptModel:
    """The files of a pair's model, kept in the store.

    Attributes:
        pair: Whose model it is. Pairs of one model share one artefact.
        artifact: Name of the artefact, a folder.
        bytes: Size of its files.
        at: Since when, ISO 8601, UTC.
    """

    pair: str
    artifact: str
    bytes: int
    at: str


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a pair's model did when it was asked last: whether a pair that is rolled back to could answer.

    Attributes:
        pair: Whose model.
        verdict: `pass` when it gave the pair's probe vectors, `fail` when it gave none or others, `unknown` when the
            machine that asked lacks what it takes to ask.
        said: A sentence, for people.
        at: When, ISO 8601, UTC.
        seconds: How long the answer took.
        host: Who asked.
    """

    pair: str
    verdict: ModelVerdict
    said: str
    at: str
    seconds: float
    host: str

    @property
    def age(self) -> float:
        """Seconds since then."""
        return (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(self.at)).total_seconds()

    @property
    def standing(self) -> ModelVerdict:
        """The verdict as it counts now: an old one says nothing about this moment, nor one that is long yet to come."""
        return self.verdict if abs(self.age) <= ANSWER_SECONDS else "unknown"
