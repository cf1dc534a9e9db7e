"""Moves of a pointer: asked for, decided on one moment, made, acknowledged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vecrollback.records.bridges import Bridge
from vecrollback.records.canary import Canary
from vecrollback.records.evaluation import GateOutcome, GateVerdict, ThresholdTranslation
from vecrollback.records.jobs import CatchUp
from vecrollback.records.models import ModelAnswer
from vecrollback.records.pairs import LIVE, AliasTarget, Pair, PairState, Snapshot, SnapshotRef
from vecrollback.records.reports import Report, Verdict


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """Searchers that follow the alias, and those that answered from the new epoch in time."""

    expected: int
    acknowledged: int
    missing: tuple[str, ...] = ()


MoveKind = Literal["promote", "rollback", "restore", "advance", "set"]
SWITCHES: tuple[MoveKind, ...] = ("promote", "rollback", "restore", "set")
"""Moves that somebody decided: all but those to a newer snapshot of the same pair."""


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """A pointer is to move: why, by whom, where to, and what that requires of the present.

    Whoever asks gives the reason, the actor, and how long to wait. The switch adds where the move goes and what goes
    along with it, so that the catalog can make it in one transaction, or refuse it whole.

    Attributes:
        reason: Why; it is kept in the history.
        actor: Who asks.
        override: Pass what a reason can pass: a quarantine, a check, a gate.
        wait_seconds: How long to wait for the searchers' acknowledgement.
        warm_seconds: How long to wait before a promote until every searcher has loaded the pair.
        expected_epoch: The alias's epoch when somebody decided this. None decides on the epoch that is read; the
            catalog takes no request without one. A newer snapshot of the same pair since then overtakes no decision.
        gated: What a promote had to pass, to be kept with the move.
        alias: Which pointer moves.
        kind: What the history calls the move.
        target: Where to.
        states: Pairs whose state changes with the move: name -> (state, reason).
        requires: States that pairs must still have when the move is made.
        head: For an exact restore, the (watermark, vectors version) that the target's pair falls back to.
        approval: Number of the request that people agreed to; it ends with the move, or nothing moves.
        above: The move gets an epoch that is greater than this one too: of moves that were lost.
    """

    reason: str
    actor: str
    override: bool = False
    wait_seconds: float = 10.0
    warm_seconds: float = 60.0
    expected_epoch: int | None = None
    gated: GateVerdict | None = None
    alias: str = LIVE
    kind: MoveKind = "set"
    target: SnapshotRef | None = None
    states: Mapping[str, tuple[PairState, str]] = field(default_factory=dict)
    requires: Mapping[str, PairState] = field(default_factory=dict)
    head: tuple[int, int] | None = None
    approval: int | None = None
    above: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """One entry of the history: a pointer moved. `hash` covers the entry and `previous_hash`."""

    number: int
    alias: str
    epoch: int
    kind: MoveKind
    source: str | None
    target: str
    reason: str
    actor: str
    at: str
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do at this moment.

    Attributes:
        target: The snapshot that would serve, `PAIR@N`.
        live: What serves now; None while nothing does.
        epoch: Of `live` now.
        taken_at: When the snapshot was taken.
        watermark: The last change that it reflects.
        lag: Changes since, which a catch-up takes in once it serves.
        searchers: Serving processes that would follow.
        approvals: People who have to agree first; 0 where it moves at once.
        obstacle: Why it would be refused now; empty when it would not be.
    """

    target: str
    live: str | None
    epoch: int
    taken_at: str
    watermark: int
    lag: int
    searchers: int
    approvals: int = 0
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class CatalogStanding:
    """How far a catalog had come: its last move (`number` and `hash` in the history), and its log.

    `head`: seq of the last change. `version`: of the table of documents.
    """

    number: int
    hash: str
    head: int
    version: int


@dataclass(frozen=True, slots=True)
class Setback:
    """A catalog that went back in time: `seen` is how far it had come, `present` how far it is.

    `diverged`: it has gone on since, by another history than the one that was seen.
    """

    seen: CatalogStanding
    present: CatalogStanding
    diverged: bool = False

    def __str__(self) -> str:
        parts = []
        if self.diverged:
            parts.append(f"its move {self.seen.number} is another one than was seen")
        elif self.present.number < self.seen.number:
            parts.append(f"its history ends with move {self.present.number}, and move {self.seen.number} was seen")
        if self.present.head < self.seen.head:
            parts.append(f"its log ends with change {self.present.head}, and change {self.seen.head} was seen")
        elif self.present.version < self.seen.version:
            parts.append(
                f"it names version {self.present.version} of the documents, and version {self.seen.version} was seen"
            )
        return "the catalog went back in time: " + "; ".join(parts)


@dataclass(frozen=True, slots=True)
class HistoryProof:
    """What a comparison of the history with its own chain, and with what was exported before, says.

    Attributes:
        verdict: `fail` when there is a problem.
        moves: How many were looked at.
        head: Hash of the last one.
        problems: What was changed, removed, or not signed as it had to be; one sentence each.
        notes: What could not be examined; one sentence each.
    """

    verdict: Verdict
    moves: int
    head: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A catalog that had gone back in time, mended.

    Attributes:
        setback: What it lacked.
        replayed: Lost moves that are in the history again, word for word.
        anew: Moves that were made because others are lost for good; their epochs are greater than any that was seen.
        changes: How many changes of documents were taken back from the log's own table.
        lost_changes: How many that were seen are nowhere any more.
    """

    setback: Setback
    replayed: tuple[Move, ...]
    anew: tuple[Move, ...]
    changes: int
    lost_changes: int


@dataclass(frozen=True, slots=True)
class Switched:
    """A promote, rollback or restore that happened.

    Attributes:
        move: The entry that it made in the history.
        switch_ms: Milliseconds from the decision to the last searcher's acknowledgement.
        searchers: Who followed.
        lag: Changes that the target had yet to take in at the switch.
        caught_up: What was done about the lag.
        report: The check after it.
        trouble: What could not be done after the switch, which stands all the same.
        warning: What whoever moved it should know.
        gates: What a promote had to pass, the way back first.
        bridge: By which queries reach the target while its own model is gone; None when that is not known to be so.
        threshold: Of a promote, the score threshold of the pair that was left, translated to the target's scores; None
            where its settings hold none.
    """

    move: Move
    switch_ms: float
    searchers: Acknowledgements
    lag: int
    caught_up: CatchUp | None = None
    report: Report | None = None
    trouble: str = ""
    warning: str = ""
    gates: tuple[GateOutcome, ...] = ()
    bridge: Bridge | None = None
    threshold: ThresholdTranslation | None = None

    @property
    def alias(self) -> str:
        return self.move.alias

    @property
    def source(self) -> str | None:
        """`PAIR@N` that was left; None for the first move of an alias."""
        return self.move.source

    @property
    def target(self) -> str:
        """`PAIR@N` that it points to now."""
        return self.move.target

    @property
    def epoch(self) -> int:
        return self.move.epoch


@dataclass(frozen=True, slots=True)
class Pointer:
    """What one query needs to know, read in one statement: where `alias` points and how far everything is.

    `canary`: the pair that is tried beside it at this moment, if one is.
    """

    alias: str
    epoch: int
    pair: str
    snapshot: int
    watermark: int
    vectors_version: int
    head: int
    corpus_version: int
    canary: Canary | None = None


@dataclass(frozen=True, slots=True)
class SearcherRecord:
    """A serving process: what it follows, the last epoch it applied, which pairs it holds open."""

    id: str
    alias: str
    host: str
    pid: int
    epoch: int
    warm: tuple[str, ...]
    heartbeat: float


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
        answer: What its model did when it was asked last; None when nobody asked. A switch asks no model itself.
        bridge: From the pair that serves into this one; read only where its model did not answer.
    """

    name: str
    pair: Pair | None
    snapshot: Snapshot | None
    verdict: Verdict | None
    tenure: Tenure | None
    answer: ModelAnswer | None = None
    bridge: Bridge | None = None


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
        answer: What the model of the snapshot's pair did when it was asked last.
        in_database: Whether the vectors of one of these pairs lie in a database of the user's.
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
    answer: ModelAnswer | None = None
    in_database: bool = False

    @property
    def target(self) -> AliasTarget | None:
        """Where the alias points."""
        return self.aliases.get(self.alias)

    @property
    def epoch(self) -> int:
        """The number of the alias's moves; 0 while it points nowhere."""
        return self.target.epoch if self.target else 0
