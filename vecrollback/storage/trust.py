"""Which folders' `vecrollback.toml` this machine obeys, and which addresses a secret or a text may go to.

A store that somebody sent, or a folder that somebody works in, may hold such a file. It could run a command for each
notice, replace the gates by none, or send texts and keys elsewhere. So its tables count only once somebody has said so
on this machine: `vecrollback trust FOLDER`, or the folder in `VECROLLBACK_TRUST`. A store that was created here is
trusted from then on; what comes into it, a bundle, is looked at when it comes.

A path alone is not trusted: somebody else may make a folder where a trusted one was. The list says whose each folder
is, and which store lay in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vecrollback.errors import UntrustedError, UsageError
from vecrollback.storage.local import written

VARIABLE = "VECROLLBACK_TRUST"
EVERY = "*"
_created: set[Path] = set()
"""Stores that this very process created, where nothing can be written down."""


@dataclass(frozen=True, slots=True)
class TrustedFolder:
    """A folder as it was when somebody trusted it.

    Attributes:
        folder: Its path, without links.
        owner: Number of the user it belonged to.
        store: Id of the store in it; None without one.
    """

    folder: str
    owner: int
    store: str | None = None

    @classmethod
    def at(cls, folder: Path) -> TrustedFolder:
        """The folder as it is now. Raises FileNotFoundError."""
        return cls(str(folder), folder.stat().st_uid, _store_in(folder))

    @property
    def change(self) -> str:
        """What is not as it was; empty when nothing is."""
        try:
            now = TrustedFolder.at(Path(self.folder))
        except OSError as error:
            return f"it cannot be looked at ({error.strerror})"
        if now.owner != self.owner:
            return f"it belonged to user {self.owner}, and now to user {now.owner}"
        if self.store is not None and now.store != self.store:
            return "another store lay in it"
        return ""


def trusted_folders() -> list[Path]:
    """The folders that somebody trusted on this machine, sorted; those of the environment are not among them."""
    return [Path(one.folder) for one in _entries()]


def is_trusted(folder: Path) -> bool:
    """Whether the file in a folder counts; a folder in it does not count with it."""
    own = folder.resolve()
    named = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    if EVERY in named or own in {Path(part).resolve() for part in named} or own in _created:
        return True
    return any(not one.change for one in _entries() if one.folder == str(own))


def require_trusted(file: Path, tables: str) -> None:
    """Raise UntrustedError unless the folder of a `vecrollback.toml` is trusted."""
    if not is_trusted(file.parent):
        changes = [one.change for one in _entries() if one.folder == str(file.parent.resolve())]
        since = f" as it is now: when somebody did, {changes[0]}" if changes else ""
        raise UntrustedError(
            f"{file} says something about {tables}, and nobody has trusted it on this machine{since}",
            hint=f"read it; then `vecrollback trust {file.parent}`, or list the folder in {VARIABLE}",
        )


def set_trusted(folder: Path, *, trusted: bool) -> list[Path]:
    """Trust a folder from now on, or no longer; returns all that are. Raises UsageError for one that is not there."""
    own = folder.resolve()
    if trusted and not own.is_dir():
        raise UsageError(f"folder {folder} does not exist", hint="name the one that holds the vecrollback.toml")
    with _alone():
        entries = [one for one in _entries() if one.folder != str(own)]
        if trusted:
            entries = sorted([*entries, TrustedFolder.at(own)], key=lambda one: one.folder)
        with written(_list_file()) as temporary:
            temporary.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in entries), encoding="utf-8")
    return [Path(one.folder) for one in entries]


def trust_created(folder: Path) -> None:
    """Trust the folder of a store that has just been created: whatever will be in it, this machine put there."""
    if not is_trusted(folder):
        _created.add(folder.resolve())
        with contextlib.suppress(OSError):  # a machine where nothing can be kept trusts it in this process alone
            set_trusted(folder, trusted=True)


def is_loopback(address: str) -> bool:
    """Whether a URL leads to this very machine, by its spelling: a name is not looked up."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_no_link_local(address: str) -> None:
    """Raise UntrustedError for a URL of the network's own segment: there clouds hand out a machine's credentials."""
    parts = urlsplit(address)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError):
        return  # whoever connects says so
    for *_, place in found:
        host = ipaddress.ip_address(str(place[0]).partition("%")[0])
        inner = getattr(host, "ipv4_mapped", None) or host
        if inner.is_link_local:
            raise UntrustedError(
                f"{parts.hostname} is a link-local address, {inner}",
                hint="name a service that has an address of its own",
            )


def _entries() -> list[TrustedFolder]:
    try:
        lines = _list_file().read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return []
    entries = []
    for line in filter(None, lines):
        if not line.startswith("{"):  # earlier versions wrote paths alone: such a folder has to be this user's
            entries.append(TrustedFolder(line, os.getuid()))
            continue
        with contextlib.suppress(ValueError, TypeError):  # what cannot be read trusts nobody
            entries.append(TrustedFolder(**json.loads(line)))
    return sorted(entries, key=lambda one: one.folder)


def _store_in(folder: Path) -> str | None:
    """The id of the store in a folder, as `vecrollback.catalog` writes it; None without one."""
    try:
        id_ = json.loads((folder / "store.json").read_bytes())["id"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return id_ if isinstance(id_, str) else None


@contextmanager
def _alone() -> Iterator[None]:
    """Keep others from changing the list meanwhile: what one of them trusts would be lost."""
    file = _list_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file.with_name(f".{file.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _list_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "vecrollback" / "trusted-folders"
