"""Who may do and decide what, who did, what is sent to people, what was rehearsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vecrollback.records.documents import Json
from vecrollback.records.reports import Verdict

ApprovalState = Literal["waiting", "done", "rejected", "expired"]
NoticeState = Literal["waiting", "sent", "failed"]


@dataclass(frozen=True, slots=True)
class Freeze:
    """While it holds, automation moves nothing. `until` None: until somebody lifts it."""

    alias: str
    reason: str
    actor: str
    at: str
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A move that waits for people. `epoch`: of the alias when it was asked for; it expires when somebody moves that.

    `target`: a pair for a rollback (None: the last fit one), `PAIR@N` for a restore. `decisions`: who said what, when.
    `override`, `planned`: how the restore is made that they agree to.
    """

    number: int
    kind: Literal["rollback", "restore"]
    state: ApprovalState
    target: str | None
    epoch: int
    reason: str
    asked_by: str
    at: str
    needed: int
    decisions: tuple[Mapping[str, str], ...] = ()
    trigger: Mapping[str, Json] = field(default_factory=dict)
    override: bool = False
    planned: bool = False

    @property
    def approved_by(self) -> tuple[str, ...]:
        return tuple(one["actor"] for one in self.decisions if one["decision"] == "approve")


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to people, until it was delivered. `body`: event, title, text and facts."""

    number: int
    channel: str
    body: Mapping[str, Json]
    state: NoticeState
    attempts: int
    due: float
    error: str
    at: str


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of a drill. `limit`: the objective in seconds, None for a step that has none."""

    name: str
    seconds: float
    ok: bool
    said: str = ""
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Drill:
    """A rehearsed rollback. `chaos`: what was broken on purpose, empty for none. `epoch`: of `live` at the time."""

    number: int
    chaos: str
    epoch: int
    source: str
    target: str
    verdict: Verdict
    phases: tuple[Phase, ...]
    said: str
    actor: str
    at: str
    seconds: float


Role = Literal["reader", "writer", "operator", "admin"]


@dataclass(frozen=True, slots=True)
class Token:
    """Somebody who may use the HTTP API, as far as their role goes. The secret itself is kept nowhere.

    `expires_at`: from then on it opens nothing; None: it does until it is revoked. `last_used_at`: to within a minute.
    """

    name: str
    role: Role
    created_at: str
    created_by: str
    revoked_at: str | None = None
    expires_at: str | None = None
    last_used_at: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that was changed over HTTP, or about tokens: who, when, what (`documents.delete`), of what."""

    number: int
    at: str
    actor: str
    action: str
    subject: str
