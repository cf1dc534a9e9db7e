"""The operator's page: plain files, sent as they are. No build step, and nothing from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page. `tag` changes with its content."""

    content: bytes
    media_type: str
    tag: str


@cache
def assets() -> Mapping[str, Asset]:
    """Every file by name, read once. What is not a key here is not served, whatever path is asked for."""
    assets_by_name = {}
    for file in files(__name__).iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in _TYPES:
            content = file.read_bytes()
            assets_by_name[file.name] = Asset(content, _TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')
    return assets_by_name
