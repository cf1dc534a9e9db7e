"""Who may do what, and who did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["reader", "writer", "operator", "admin"]


@dataclass(frozen=True, slots=True)
class Token:
    """Somebody who may use the HTTP API, as far as their role goes. The secret itself is kept nowhere."""

    name: str
    role: Role
    created_at: str
    created_by: str
    revoked_at: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that was changed over HTTP, or about tokens: who, when, what (`documents.delete`), of what."""

    number: int
    at: str
    actor: str
    action: str
    subject: str
