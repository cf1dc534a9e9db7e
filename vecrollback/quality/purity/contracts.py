"""Contract mixing: what rows themselves say about who made their vectors. Exact, and as true as whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vecrollback.records import Json

KEYS = ("embedding_model", "embedding_model_name", "model", "model_name", "model_tag", "fingerprint")
"""Payload keys that people use, the most telling first."""

_INSIDE = ("metadata", "meta")


@dataclass(frozen=True, slots=True)
class RecordedModel:
    """Model as recorded -> how many rows and which. `unrecorded`: rows that name none."""

    models: Mapping[str, int]
    ids: Mapping[str, tuple[str, ...]]
    unrecorded: int

    @property
    def mixed(self) -> bool:
        """Whether rows name more than one model."""
        return len(self.models) > 1

    def foreign(self, own: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Ids by model for every model that is not one of the own names."""
        names = frozenset(own)
        return {model: ids for model, ids in self.ids.items() if model not in names}


def recorded_model(payload: Mapping[str, Json] | None) -> str | None:
    """The model that a row's payload names, looked for at the top, then under `metadata` and `meta`; else None."""
    if not payload:
        return None
    for place in (payload, *(payload.get(name) for name in _INSIDE)):
        if not isinstance(place, Mapping):
            continue
        for key in KEYS:
            name = place.get(key)
            if isinstance(name, Mapping):  # {"model": {"name": ...}}
                name = name.get("name")
            if isinstance(name, str) and name.strip():
                return name.strip()
    return None


def recorded_models(rows: Iterable[tuple[str, Mapping[str, Json] | str | None]]) -> RecordedModel:
    """Count models over rows of (id, payload); a string in place of a payload is the fingerprint itself."""
    ids: dict[str, list[str]] = {}
    unrecorded = 0
    for id_, payload in rows:
        model = payload if isinstance(payload, str) else recorded_model(payload)
        if model:
            ids.setdefault(model, []).append(id_)
        else:
            unrecorded += 1
    return RecordedModel(
        models={model: len(rows) for model, rows in ids.items()},
        ids={model: tuple(rows) for model, rows in ids.items()},
        unrecorded=unrecorded,
    )
