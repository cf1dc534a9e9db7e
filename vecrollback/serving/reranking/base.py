"""What a reranker is: it reads a query and a text together, and says how well the text answers.

A pair embeds queries and texts apart, which is what makes an index possible, and loses what only shows side by side.
A reranker looks at the few dozen best candidates again and orders them. It has no vectors and no index: nothing of it
can be mixed, and a rollback leaves it alone.

An entry point of the group `vecrollback.rerankers` is a function that takes what stands between `KIND:` and `?`, and
the arguments after that, and returns a reranker. It raises RerankerSpecError for what is not valid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from vecrollback.records.arrays import FloatArray


@runtime_checkable
class Reranker(Protocol):
    """Scores texts against a query. Safe to use from many threads."""

    @property
    def fingerprint(self) -> str:
        """A digest of all that shapes its scores. Answers that two fingerprints gave are not the same answer."""

    def scores(self, query: str, texts: Sequence[str]) -> FloatArray:
        """Say how well each text answers.

        Args:
            query: The words that were searched for.
            texts: Texts of the candidates, at least one.

        Returns:
            float32, shape (n,), in the order of the texts; higher is better, and no value is NaN. The scale is its own.

        Raises:
            RerankerError: The model does not work.
        """


OpenReranker = Callable[[str, Mapping[str, str]], Reranker]
"""From the target and the arguments of `KIND:TARGET?key=value&...` to the reranker."""
