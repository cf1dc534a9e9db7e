"""Which folders' `vecrollback.toml` this machine obeys, and which addresses a secret or a text may go to.

A store that somebody sent, or a folder that somebody works in, may hold such a file. It could run a command for each
notice, replace the gates by none, or send texts and keys elsewhere. So its tables count only once somebody has said so
on this machine: `vecrollback trust FOLDER`, or the folder in `VECROLLBACK_TRUST`. A store that was created here is
trusted from then on; what comes into it, a bundle, is looked at when it comes.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from vecrollback.errors import UntrustedError
from vecrollback.storage.local import written

VARIABLE = "VECROLLBACK_TRUST"
EVERY = "*"
_created: set[Path] = set()
"""Stores that this very process created, where nothing can be written down."""


def trusted_folders() -> list[Path]:
    """The folders that somebody trusted on this machine, sorted; those of the environment are not among them."""
    try:
        lines = _list_file().read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return []
    return sorted(Path(line) for line in lines if line)


def is_trusted(folder: Path) -> bool:
    """Whether the file in a folder counts; a folder in it does not count with it."""
    own = folder.resolve()
    named = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    by_environment = EVERY in named or own in {Path(part).resolve() for part in named}
    return by_environment or own in _created or own in trusted_folders()


def require_trusted(file: Path, tables: str) -> None:
    """Raise UntrustedError unless the folder of a `vecrollback.toml` is trusted."""
    if not is_trusted(file.parent):
        raise UntrustedError(
            f"{file} says something about {tables}, and nobody has trusted it on this machine",
            hint=f"read it; then `vecrollback trust {file.parent}`, or list the folder in {VARIABLE}",
        )


def set_trusted(folder: Path, *, trusted: bool) -> list[Path]:
    """Trust a folder from now on, or no longer; returns all that are."""
    folders = {*trusted_folders(), folder.resolve()} if trusted else {*trusted_folders()} - {folder.resolve()}
    with written(_list_file()) as temporary:
        text = "".join(f"{one}\n" for one in sorted(folders))
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
    return sorted(folders)


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


def _list_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "vecrollback" / "trusted-folders"
