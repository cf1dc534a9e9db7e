"""Documents that a hashing model can tell apart by topic: words of one of many topics, and a few common ones."""

from __future__ import annotations

import random
from functools import cache

from vecrollback import Document

TOPICS = 40
_WORDS = 30


def documents(count: int, *, seed: int = 0) -> list[Document]:
    """Documents `t0`, `t1`, ...; number n is of topic n % TOPICS."""
    chance = random.Random(seed)
    return [Document(f"t{n}", _text(n % TOPICS, chance)) for n in range(count)]


def query(topic: int, *, seed: int = 0) -> str:
    """Words that documents of this topic hold."""
    chance = random.Random(f"{topic}/{seed}")
    return " ".join(_word(topic, chance.randrange(_WORDS)) for _ in range(6))


def _text(topic: int, chance: random.Random) -> str:
    own = [_word(topic, chance.randrange(_WORDS)) for _ in range(24)]
    common = [_word(TOPICS, chance.randrange(_WORDS)) for _ in range(8)]
    words = chance.sample(own + common, 32)
    return f"{' '.join(words[:16])}. {' '.join(words[16:])}."


@cache
def _word(topic: int, number: int) -> str:
    letters = random.Random(f"{topic}-{number}")
    return "".join(letters.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(6))
