"""The configuration in force, value by value, each with where it comes from, and without its secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from vecrollback.errors import VecrollbackError
from vecrollback.records import Json
from vecrollback.storage import config

MASK = "***"

_PASSWORD = re.compile(r"(://[^/@:\s]*:)[^@/\s]+@")
_PARAMETER = re.compile(r"([?&][^=&\s]*(?:password|pass|key|token|secret|sig|signature)=)[^&\s#]+", re.IGNORECASE)
# A webhook's address is all that it takes to write there. Names that end in `_env` hold no secret, but name one.
_SECRET_NAME = re.compile(r"(passw|secret|token$|credential|key$|auth|cookie|signature|^url$)", re.IGNORECASE)
_ARGUMENTS = {"store": "--store", "catalog": "--catalog"}


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """One setting. `origin`: an option, an environment variable, a file, or "default"."""

    name: str
    value: str
    origin: str


def effective(
    *, store: str | None = None, catalog: str | None = None, directory: Path | None = None
) -> list[EffectiveSetting]:
    """Every setting as it counts for a command with these options, in this directory.

    Args:
        store: As `connect` takes it; None where no option names one.
        catalog: The same of the catalog.
        directory: Whose `vecrollback.toml` counts. Default: the working directory.

    Returns:
        The settings, then the values of each table of the file, with secrets masked.

    Raises:
        UsageError: A file cannot be read, or has unknown keys.

    Example:
        >>> [one.origin for one in effective(store="notes") if one.name == "store"]
        ['--store']
    """
    options = {"store": store, "catalog": catalog}
    settings = config.load(store=store, catalog=catalog, directory=directory)
    path = (directory or Path.cwd()) / config.FILE
    in_file = config.read_file(path)
    rows = []
    for name in (one.name for one in fields(config.Settings)):
        value = getattr(settings, name)
        rows.append(
            EffectiveSetting(name, masked(name, value or "in the store"), _origin(name, options, in_file, path))
        )
    return [*rows, *_tables(Path(settings.store), directory)]


def masked(name: str, value: str) -> str:
    """A value as it may be shown: passwords, tokens and addresses that are secrets are replaced by `MASK`."""
    if value and _SECRET_NAME.search(name) and not name.endswith("_env"):
        return MASK
    return masked_parameters(_PASSWORD.sub(rf"\1{MASK}@", value))


def masked_parameters(address: str) -> str:
    """An address whose parameters that are secrets are replaced by `MASK`."""
    return _PARAMETER.sub(rf"\1{MASK}", address)


def _origin(name: str, options: Mapping[str, str | None], in_file: Mapping[str, Json], path: Path) -> str:
    variable = f"VECROLLBACK_{name.upper()}"
    if options.get(name) is not None:
        return _ARGUMENTS[name]
    if os.environ.get(variable):
        return variable
    return str(path) if in_file.get(name) else "default"


def _tables(store: Path, directory: Path | None) -> Iterator[EffectiveSetting]:
    for name in config.SECTIONS:
        try:
            section = config.section(name, store=store, directory=directory)
        except VecrollbackError as error:
            yield EffectiveSetting(f"[{name}]", f"not read: {error.message}", "-")
            continue
        if section is not None:
            yield from _values(name, section.values, str(section.path))


def _values(prefix: str, value: Json, origin: str) -> Iterator[EffectiveSetting]:
    """The values of a table, each under its whole name: `policy.notify.1.kind`."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _values(f"{prefix}.{key}", one, origin)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for number, one in enumerate(value, 1):
            yield from _values(f"{prefix}.{number}", one, origin)
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield EffectiveSetting(prefix, masked(prefix.rpartition(".")[2], text), origin)
