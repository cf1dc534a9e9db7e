"""Engines: where the texts of a job are embedded.

`inline`: in this process, beside the reading and writing of tables. `local:N`: N processes on this machine; a text that
crashes the model costs a worker, not the job; where there are several GPUs each process has one. `dask://HOST:PORT`:
the workers of a Dask cluster (extra `dask`). `dask:N`: a Dask cluster of N workers on this machine, for the length of
the job. `ray://HOST:PORT`, `ray:N`: the same with Ray (extra `ray`).
"""

from __future__ import annotations

import re

from vecrollback.embedders import Embedder, traits_of
from vecrollback.errors import UsageError
from vecrollback.reembedding.engines.base import (
    EmbeddedUnit,
    EmbedderRecipe,
    Engine,
    FailedUnit,
    Outcome,
    Threads,
    Unit,
    in_runtime,
)

__all__ = [
    "EmbeddedUnit",
    "EmbedderRecipe",
    "Engine",
    "FailedUnit",
    "Outcome",
    "Threads",
    "Unit",
    "check_setting",
    "open_engine",
]

_SETTING = re.compile(r"inline|local(?::([1-9]\d{0,3}))?|(?:dask|ray)(?::([1-9]\d{0,3}))?|(?:dask|ray|tcp|tls)://\S+")


def check_setting(setting: str) -> None:
    """Raise UsageError for a setting that names no engine."""
    if not _SETTING.fullmatch(setting):
        raise UsageError(
            f"no engine {setting!r}", hint="inline, local:4, dask:4, dask://scheduler:8786, ray:4, or ray://head:10001"
        )


def open_engine(setting: str, recipe: EmbedderRecipe, embedder: Embedder) -> Engine:
    """The engine of a job. Raises UsageError, MissingDependencyError, EngineLostError."""
    check_setting(setting)
    name, _, count = setting.partition(":")
    remote = "://" in setting
    if traits_of(embedder).metered:
        return _threads(setting, embedder, 1 if remote else int(count or 1), remote=remote or name in ("dask", "ray"))
    if name == "inline" and not recipe.idle:
        return Threads(in_runtime(embedder, recipe.runtime) if recipe.runtime else embedder)
    if name in ("inline", "local"):
        from vecrollback.reembedding.engines.devices import devices_for
        from vecrollback.reembedding.engines.local import Local

        return Local(recipe, int(count or 1), devices_for(embedder))
    if name == "ray":
        from vecrollback.reembedding.engines.ray import open_ray

        return open_ray(setting, recipe)
    from vecrollback.reembedding.engines.dask import open_dask

    return open_dask(setting, recipe)


def _threads(setting: str, embedder: Embedder, count: int, *, remote: bool) -> Engine:
    # A limit on money or on requests holds only where one object does the counting.
    if remote:
        raise UsageError(
            f"a model behind a service is not called from {setting!r}: no limit would hold across machines",
            hint="--engine local:8 sends eight requests at a time from here",
        )
    return Threads(embedder, count)
