"""Settings: an argument, else the environment, else `vecrollback.toml` in the working directory, else a default."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from vecrollback.errors import UsageError
from vecrollback.records import Json
from vecrollback.storage.trust import require_trusted

FILE = "vecrollback.toml"
DEFAULT_STORE = "indices/default"
DEFAULT_CACHE_SIZE = "32GiB"
DEFAULT_MODEL_LIMIT = "4GiB"
HELPERS = ("auto", "never")
SECTIONS = ("gates", "policy", "canary", "embedder", "serving", "allow", "rerankers")
"""Tables of the file, each read by the module that obeys it."""
_RENAMED = {"rollout": "canary"}
"""Tables by their earlier names. Refused: a table that nobody reads would leave a pair on the defaults, unnoticed."""


_UNITS = {"": 1, "B": 1} | {
    f"{letter}{unit}": base**power
    for unit, base in (("B", 1000), ("IB", 1024))
    for power, letter in enumerate("KMGT", start=1)
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?((?:[KMGT]I?)?B|)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Settings:
    """`store`: where the store is. `actor`: who moves pointers, for the history.

    `catalog`: URL of the database that holds the catalog; None for the one in the store's own directory. It may hold a
    password, so it is left out of the representation. `cache`, `cache_size`: where this machine keeps copies of what
    lies on object storage, and how much of it, as in "500MB" or "32GiB". `keep_model_limit`: the largest model that is
    kept with its pair unasked. `erasures`: a file outside of the store in which every delete is noted.
    `helper`: "never" has a process that answers queries do by itself what takes long.
    """

    store: str
    actor: str
    catalog: str | None = field(default=None, repr=False)
    cache: str = ""
    cache_size: str = DEFAULT_CACHE_SIZE
    keep_model_limit: str = DEFAULT_MODEL_LIMIT
    erasures: str = ""
    helper: str = HELPERS[0]

    @property
    def cache_bytes(self) -> int:
        """The size as a number. Raises UsageError for text that is not a size."""
        return _bytes("cache_size", self.cache_size)

    @property
    def keep_model_bytes(self) -> int:
        """The same of the largest model that is kept unasked."""
        return _bytes("keep_model_limit", self.keep_model_limit)


def _bytes(name: str, text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{name} is {text!r}", hint='a number and a unit: "500MB", "32GiB"')
    return int(float(match[1]) * _UNITS[match[2].upper()])


@dataclass(frozen=True, slots=True)
class Section:
    """One table of a `vecrollback.toml`: `[name]`, and where it stands, for messages."""

    name: str
    values: Mapping[str, Json]
    path: Path
    text: str = field(repr=False)

    def where(self, value: str = "") -> str:
        """File and line of a value as it is written there; the file alone when it is spelt otherwise."""
        lines = enumerate(self.text.splitlines(), start=1)
        number = next((n for n, line in lines if value and value in line and not line.lstrip().startswith("#")), None)
        return f"{self.path}:{number}" if number else str(self.path)


def section(name: str, *, store: Path, directory: Path | None = None) -> Section | None:
    """A table of the file in the working directory, else of the one in the store's own; None where neither has it.

    Read anew by every call: a server that runs for weeks obeys what stands there today. Raises UsageError, and
    UntrustedError for a file in a folder that nobody has trusted.
    """
    for path in ((directory or Path.cwd()) / FILE, store / FILE):
        values, text = _parse_file(path)
        if (table := values.get(name)) is None:
            continue
        require_trusted(path, f"[{name}]")
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {name!r} must be a table", hint=f"write [{name}] on a line of its own")
        return Section(name, table, path, text)
    return None


def load(
    *,
    store: str | None = None,
    actor: str | None = None,
    catalog: str | None = None,
    directory: Path | None = None,
) -> Settings:
    """The settings in force. An empty `catalog` means the one in the store's own directory.

    Raises UsageError for a file that cannot be read or has unknown keys; UntrustedError for a catalog that it names in
    a folder that nobody has trusted.
    """
    filed = read_file((directory or Path.cwd()) / FILE)
    # None is "not set" and "" is "the store's own": an empty argument overrides what the environment says.
    catalogs = (catalog, os.environ.get("VECROLLBACK_CATALOG"), filed.get("catalog"))
    if catalogs[:2] == (None, None) and filed.get("catalog"):
        require_trusted((directory or Path.cwd()) / FILE, "the catalog")  # a password goes where its address leads
    return Settings(
        store=store or os.environ.get("VECROLLBACK_STORE") or filed.get("store") or DEFAULT_STORE,
        actor=actor or os.environ.get("VECROLLBACK_ACTOR") or filed.get("actor") or _somebody(),
        catalog=next((url for url in catalogs if url is not None), None) or None,
        cache=os.environ.get("VECROLLBACK_CACHE") or filed.get("cache") or _cache_folder(),
        cache_size=os.environ.get("VECROLLBACK_CACHE_SIZE") or filed.get("cache_size") or DEFAULT_CACHE_SIZE,
        keep_model_limit=os.environ.get("VECROLLBACK_KEEP_MODEL_LIMIT")
        or filed.get("keep_model_limit")
        or DEFAULT_MODEL_LIMIT,
        erasures=os.environ.get("VECROLLBACK_ERASURES") or filed.get("erasures") or "",
        helper=_helper(os.environ.get("VECROLLBACK_HELPER") or filed.get("helper") or HELPERS[0]),
    )


def _helper(text: str) -> str:
    if text not in HELPERS:
        raise UsageError(f"helper is {text!r}", hint=" or ".join(f'"{one}"' for one in HELPERS))
    return text


def _parse_file(path: Path) -> tuple[dict[str, Json], str]:
    """The file's values and its text; nothing when there is no file."""
    if not path.is_file():
        return {}, ""
    import tomllib  # a rollback without a file does not wait for it

    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    for old, new in _RENAMED.items():
        if old in values:
            raise UsageError(f"{path}: the table [{old}] is called [{new}] now", hint=f"write [{new}] instead")
    return values, text


def read_file(path: Path) -> dict[str, str]:
    """The settings that stand in a file, without its tables. Raises UsageError."""
    values = {key: value for key, value in _parse_file(path)[0].items() if key not in SECTIONS}
    keys = [f.name for f in fields(Settings)]
    for key, value in values.items():
        if key not in keys:
            tables = ", ".join(f"[{name}]" for name in SECTIONS)
            raise UsageError(f"{path}: unknown key {key!r}", hint=f"known keys: {', '.join(keys)}; tables: {tables}")
        if not isinstance(value, str):
            raise UsageError(f"{path}: {key!r} must be a string")
    return values


def _cache_folder() -> str:
    return str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vecrollback")


def _somebody() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
