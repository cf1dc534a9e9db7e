"""Engines: where the texts of a job are embedded.

`inline`: in this process, beside the reading and writing of tables. `local:N`: N processes on this machine; a text that
crashes the model costs a worker, not the job; where there are several GPUs each process has one. `dask://HOST:PORT`:
the workers of a Dask cluster (extra `dask`). `dask:N`: a Dask cluster of N workers on this machine, for the length of
the job. `ray://HOST:PORT`, `ray:N`: the same with Ray (extra `ray`).

Further engines come from installed packages: an entry point of the group "vecrollback.engines", whose name begins the
setting, is a function `(setting, recipe) -> Engine`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import cast

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
from vecrollback.storage.installed import entry_points_of

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

_GROUP = "vecrollback.engines"


def check_setting(setting: str) -> None:
    """Raise UsageError for a setting that names no engine."""
    if not _SETTING.fullmatch(setting) and _entry_point(setting) is None:
        further = "".join(f", {name}" for name in entry_points_of(_GROUP))
        raise UsageError(
            f"{setting!r} is not a valid engine",
            hint=f"inline, local:4, dask:4, dask://scheduler:8786, ray:4, or ray://head:10001{further}",
        )


def open_engine(setting: str, recipe: EmbedderRecipe, embedder: Embedder) -> Engine:
    """Open the engine of a job.

    Args:
        setting: One of the forms above.
        recipe: How workers elsewhere come by the embedder.
        embedder: The job's embedder, for engines that embed in this process. One that is metered is called from here
            only, by so many threads as the setting names workers.

    Returns:
        An engine. Workers may be started by the first unit only. Close it.

    Raises:
        UsageError: The setting names no engine, or a metered embedder would be called from other machines.
        MissingDependencyError: The package of the engine is not installed.
        EngineLostError: The cluster does not answer.

    Example:
        >>> from vecrollback.embedders import open_embedder
        >>> embedder = open_embedder("hash:32?seed=1")
        >>> recipe = EmbedderRecipe(embedder.spec, frozenset({embedder.fingerprint}))
        >>> engine = open_engine("inline", recipe, embedder)
        >>> engine.submit(Unit(1, ("ships leave at dawn", "")))
        >>> engine.take().counts
        (1, 0)
        >>> engine.close()
    """
    check_setting(setting)
    name, _, count = setting.partition(":")
    remote = "://" in setting
    third_party = None if _SETTING.fullmatch(setting) else _entry_point(setting)
    if third_party is not None and not traits_of(embedder).metered:
        return _load(third_party)(setting, recipe)
    # Nobody knows where the workers of another package are: they count as other machines.
    remote = remote or third_party is not None
    if traits_of(embedder).metered:
        return _threads(setting, embedder, 1 if remote else int(count or 1), remote=remote or name in ("dask", "ray"))
    if name == "inline" and not recipe.idle:
        return Threads(in_runtime(embedder, recipe.runtime) if recipe.runtime else embedder)
    if name in ("inline", "local"):
        from vecrollback.reembedding.engines.local import Local, devices_for

        return Local(recipe, int(count or 1), devices_for(embedder))
    if name == "ray":
        from vecrollback.reembedding.engines.ray import open_ray

        return open_ray(setting, recipe)
    from vecrollback.reembedding.engines.dask import open_dask

    return open_dask(setting, recipe)


def _entry_point(setting: str) -> EntryPoint | None:
    return entry_points_of(_GROUP).get(setting.partition(":")[0])


def _load(point: EntryPoint) -> Callable[[str, EmbedderRecipe], Engine]:
    try:
        return cast(Callable[[str, EmbedderRecipe], Engine], point.load())
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"the engine {point.name!r} ({point.value}) cannot be loaded: {error}",
            hint="repair or uninstall the package that provides it",
        ) from error


def _threads(setting: str, embedder: Embedder, count: int, *, remote: bool) -> Engine:
    # A limit on money or on requests holds only where one object does the counting.
    if remote:
        raise UsageError(
            f"a model behind a service is not called from {setting!r}: no limit would hold across machines",
            hint="--engine local:8 sends eight requests at a time from here",
        )
    return Threads(embedder, count)
