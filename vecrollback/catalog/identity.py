"""Which catalog a directory belongs to: `store.json` holds the store's id, and the catalog holds the same one.

Tables and artefacts make sense only with the catalog that names their versions. With two catalogs in reach, a wrong
URL would serve one store's pointer over another store's files.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from vecrollback import durable
from vecrollback.errors import CatalogMismatchError, StoreFormatError, StoreNotFoundError

FILE = "store.json"
EMBEDDED = "catalog.db"
"""The catalog in the directory itself."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`catalog`: "catalog.db", or where else it was when the store was made, without a password."""

    id: str
    catalog: str


def recorded(root: Path) -> Identity | None:
    """What the directory says of itself; None for one that says nothing. Raises StoreFormatError."""
    path = root / FILE
    try:
        return Identity(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StoreFormatError(
            f"{path} cannot be read: {error}",
            hint='write it again as {"id": ..., "catalog": ...}; the id is in the table `store` of the catalog',
        ) from error


def claim(root: Path, catalog: str) -> Identity:
    """The directory's identity, a new one when it has none. Of several processes one decides."""
    found = recorded(root)
    if found is not None:
        return found
    root.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{FILE}.", dir=root)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(asdict(Identity(uuid.uuid4().hex, catalog)), stream)
        temporary.chmod(0o644)
        durable.sync_file(temporary)
        (root / FILE).hardlink_to(temporary)  # fails when it is there, as a rename would not
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
    durable.sync_directory(root)
    claimed = recorded(root)
    assert claimed is not None
    return claimed


def require_store(root: Path, *, embedded: bool) -> None:
    """Raise StoreNotFoundError for a directory that is no store."""
    if (root / EMBEDDED).exists() or (not embedded and recorded(root) is not None):
        return
    raise StoreNotFoundError(
        f"there is no store at {root}", hint=f"`vecrollback init --store {root}`, or connect(..., create=True)"
    )


def require_kind(root: Path, *, embedded: bool) -> None:
    """Raise CatalogMismatchError when the directory has its catalog in another kind of place."""
    found = recorded(root)
    where = found.catalog if found is not None else EMBEDDED if (root / EMBEDDED).exists() else None
    if embedded and where not in (EMBEDDED, None):
        raise CatalogMismatchError(
            f"the store at {root} has its catalog in {where}",
            hint="name it: --catalog URL, or VECROLLBACK_CATALOG, or `catalog` in vecrollback.toml",
        )
    if not embedded and where == EMBEDDED:
        raise CatalogMismatchError(
            f"the store at {root} has its catalog in the directory itself, in {EMBEDDED}",
            hint="leave the catalog's URL out; a store for several hosts is made new, `vecrollback init --catalog URL`",
        )


def require_same(root: Path, place: str, *, directory: str, catalog: str) -> None:
    """Raise CatalogMismatchError unless both ids are of one store."""
    if directory != catalog:
        raise CatalogMismatchError(
            f"the directory {root} is store {directory[:12]}, but the catalog {place} belongs to store {catalog[:12]}",
            hint="give the store's own directory and catalog; for a new store in the same database: ?schema=NAME",
        )
