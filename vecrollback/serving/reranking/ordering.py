"""Answers in the order of a reranker: more candidates are asked for, their texts are scored, the best are kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vecrollback.errors import UsageError
from vecrollback.records import Result, SearchOptions
from vecrollback.serving.hybrid import candidates_for
from vecrollback.serving.reranking import Reranker, open_reranker
from vecrollback.storage import config
from vecrollback.storage.spans import span

SECTION = "rerankers"
_NAME = re.compile(r"[\w.-]+")

Ask = Callable[[SearchOptions], list[Result]]


def reranked(texts: Sequence[str], options: SearchOptions, root: Path, ask: Ask) -> list[Result]:
    """A result for each query, its hits in the order of `options.reranker` and with its scores.

    Args:
        texts: The queries.
        options: What was asked. The reranker looks at four times as many candidates as hits are wanted, at 50 at least.
        root: Where the store lies; a name that stands in its vecrollback.toml may be asked for.
        ask: Answers without a reranker.

    Raises UsageError for a name that is not known, RerankerSpecError, and RerankerError where the model does not work.
    """
    reranker = open_reranker(named(options.reranker or "", root))
    answers = ask(replace(options, k=candidates_for(options.k), reranker=None))
    with span("rerank", queries=len(texts), k=options.k):
        return [_ordered(reranker, text, answer, options.k) for text, answer in zip(texts, answers, strict=True)]


def named(reranker: str, root: Path) -> str:
    """The string of a reranker: what `[rerankers]` says under a name, else the string itself. Raises UsageError."""
    return require_named(reranker, root) if _NAME.fullmatch(reranker) else reranker


def require_named(name: str, root: Path) -> str:
    """What stands under a name. Raises UsageError where nothing does."""
    names = rerankers_of(root)
    if name not in names:
        known = f"take one of: {', '.join(names)}; or " if names else ""
        raise UsageError(
            f"no reranker is called {name[:80]!r}",
            hint=f'{known}write NAME = "cross-encoder:DIRECTORY" under [{SECTION}] in vecrollback.toml',
        )
    return names[name]


def rerankers_of(root: Path) -> dict[str, str]:
    """The rerankers that have a name in vecrollback.toml, as `[rerankers]` there says. Raises UsageError."""
    section = config.section(SECTION, store=root)
    if section is None:
        return {}
    for name, spec in section.values.items():
        if not _NAME.fullmatch(name) or not isinstance(spec, str) or ":" not in spec:
            raise UsageError(
                f"{section.where(name)}: {name!r} is not a valid reranker",
                hint='NAME = "cross-encoder:DIRECTORY", the name of letters, digits, dots and hyphens',
            )
    return dict(section.values)


def _ordered(reranker: Reranker, query: str, answer: Result, k: int) -> Result:
    if not answer.hits:
        return replace(answer, reranker=reranker.fingerprint)
    scores = reranker.scores(query, [hit.text for hit in answer.hits])
    best = np.argsort(-scores, kind="stable")[:k]  # of equal scores, the one that was nearer
    hits = [replace(answer.hits[place], score=float(scores[place])) for place in best]
    return replace(answer, hits=hits, reranker=reranker.fingerprint)
