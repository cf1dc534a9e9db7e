"""`[serving]` in vecrollback.toml: what answers while the live pair's model does not. Read without NumPy or a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vecrollback.errors import UsageError, VecrollbackError
from vecrollback.records import AnsweredBy
from vecrollback.storage import config

SECTION = "serving"
STEPS: tuple[AnsweredBy, ...] = ("standby", "bridge", "keyword")
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class FallbackSettings:
    """`order`: what to try, one after the other; empty when nothing is to answer but the pair itself.

    `patience`: seconds that a query waits for a model behind a service before something else answers it.
    """

    order: tuple[AnsweredBy, ...] = ()
    patience: float = _PATIENCE_SECONDS


def read_settings(root: Path) -> FallbackSettings:
    """Read `[serving]` of the store's vecrollback.toml. Raises UsageError, naming file and line."""
    section = config.section(SECTION, store=root)
    if section is None:
        return FallbackSettings()
    if unknown := section.values.keys() - {"fallback", "patience"}:
        raise UsageError(f"{section.where()}: [serving] has no key {min(unknown)!r}", hint=f"fallback = {list(STEPS)}")
    order, patience = section.values.get("fallback", []), section.values.get("patience", _PATIENCE_SECONDS)
    if not isinstance(order, list) or any(step not in STEPS for step in order):
        raise UsageError(
            f"{section.where('fallback')}: `fallback` must be a list of {', '.join(STEPS)}",
            hint=f"fallback = {list(STEPS)}".replace("'", '"'),
        )
    if isinstance(patience, bool) or not isinstance(patience, int | float) or not 0 < patience <= 60:
        raise UsageError(f"{section.where('patience')}: `patience` must be seconds, up to 60", hint="patience = 1.0")
    return FallbackSettings(tuple(dict.fromkeys(order)), float(patience))


def serves(root: Path, step: AnsweredBy) -> bool:
    """Whether this may answer one day. A file that cannot be read or trusted says no; it stops nothing."""
    try:
        return step in read_settings(root).order
    except VecrollbackError:
        return False
