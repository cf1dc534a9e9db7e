"""What the catalog knows at one moment of everything that a switch decides on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vecrollback.records.moves import SearcherRecord
from vecrollback.records.pairs import AliasTarget, Pair, Snapshot
from vecrollback.records.reports import Verdict


@dataclass(frozen=True, slots=True)
class Tenure:
    """The last time that an alias pointed to a pair without a break: its epochs, and when it began."""

    first_epoch: int
    last_epoch: int
    began: str


@dataclass(frozen=True, slots=True)
class PairFacts:
    """One pair, as a switch sees it.

    Attributes:
        name: Of the pair.
        pair: Its record; None when it was pruned, or never existed.
        snapshot: What it would serve from; None when that is gone.
        verdict: Of its newest kept check; None when it was never checked.
        tenure: When it served last; None when it never did.
    """

    name: str
    pair: Pair | None
    snapshot: Snapshot | None
    verdict: Verdict | None
    tenure: Tenure | None


@dataclass(frozen=True, slots=True)
class SwitchState:
    """Everything that one decision about an alias needs, read in one transaction.

    Attributes:
        alias: The alias.
        aliases: Where every alias points.
        head: Seq of the newest change of the corpus.
        live: The pair that the alias points to; None while it points nowhere.
        before: Pairs it pointed to before, the most recent first, down to the first that was asked for.
        named: The pair that was asked for by name.
        snapshot: The snapshot that was asked for; None when there is no such snapshot.
        standbys: Names of the pairs that stand by, where they were asked for.
        searchers: Serving processes that follow the alias and are alive.
    """

    alias: str
    aliases: Mapping[str, AliasTarget]
    head: int
    live: PairFacts | None
    before: tuple[PairFacts, ...]
    named: PairFacts | None
    snapshot: Snapshot | None
    standbys: tuple[str, ...]
    searchers: tuple[SearcherRecord, ...]

    @property
    def target(self) -> AliasTarget | None:
        """Where the alias points."""
        return self.aliases.get(self.alias)

    @property
    def epoch(self) -> int:
        """The number of the alias's moves; 0 while it points nowhere."""
        return self.target.epoch if self.target else 0
