"""Settings: an argument, else the environment, else `vecrollback.toml` in the working directory, else a default."""

from __future__ import annotations

import getpass
import os
import socket
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vecrollback.errors import UsageError

FILE = "vecrollback.toml"
DEFAULT_STORE = "indices/default"


@dataclass(frozen=True, slots=True)
class Settings:
    """`store`: where the store is. `actor`: who moves pointers, for the history.

    `catalog`: URL of the database that holds the catalog; None for the one in the store's own directory. It may hold a
    password, so it is left out of the representation.
    """

    store: str
    actor: str
    catalog: str | None = field(default=None, repr=False)


def load(
    *,
    store: str | None = None,
    actor: str | None = None,
    catalog: str | None = None,
    directory: Path | None = None,
) -> Settings:
    """The settings in force. Raises UsageError for a file that cannot be read or has unknown keys."""
    filed = _file((directory or Path.cwd()) / FILE)
    return Settings(
        store=store or os.environ.get("VECROLLBACK_STORE") or filed.get("store") or DEFAULT_STORE,
        actor=actor or os.environ.get("VECROLLBACK_ACTOR") or filed.get("actor") or _somebody(),
        catalog=catalog or os.environ.get("VECROLLBACK_CATALOG") or filed.get("catalog") or None,
    )


def local_path(uri: str) -> Path:
    """The directory a store's URI names. Raises UsageError for one that is elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if len(parts.scheme) > 1:
        raise UsageError(f"a store cannot be at {uri!r}", hint="a directory, or file:///a/directory")
    return Path(uri).expanduser()


def _file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    known = [f.name for f in fields(Settings)]
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"{path}: unknown key {key!r}", hint=f"known keys: {', '.join(known)}")
        if not isinstance(value, str):
            raise UsageError(f"{path}: {key!r} must be a string")
    return values


def _somebody() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
