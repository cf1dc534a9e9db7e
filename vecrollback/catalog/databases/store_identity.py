"""Which catalog a directory belongs to: `store.json` holds the store's id, and the catalog holds the same one.

Tables and artefacts make sense only with the catalog that names their versions. With two catalogs in reach, a wrong
URL would serve one store's pointer over another store's files.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass

from vecrollback.errors import CatalogMismatchError, StoreFormatError, StoreNotFoundError
from vecrollback.storage import FileStore

FILE = "store.json"
EMBEDDED = "catalog.db"
"""The catalog in the directory itself."""


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """`catalog`: "catalog.db", or where else it was when the store was made, without a password."""

    id: str
    catalog: str


UNKNOWN = StoreIdentity("", "")
"""Of a place that cannot be asked now: what moves the pointer must go on without it."""


def read_identity(file_store: FileStore) -> StoreIdentity | None:
    """What the place of a store says of itself; None for one that says nothing. Raises StoreFormatError."""
    try:
        identity = StoreIdentity(**json.loads(file_store.read(FILE)))
        if not (isinstance(identity.id, str) and isinstance(identity.catalog, str)):
            raise TypeError("`id` and `catalog` must be strings")
        return identity
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StoreFormatError(
            f"{FILE} in {file_store.uri} cannot be read: {error}",
            hint='write it again as {"id": ..., "catalog": ...}; the id is in the table `store` of the catalog',
        ) from error


def claim(file_store: FileStore, catalog: str) -> StoreIdentity:
    """The place's identity, a new one when it has none. Of several processes one decides."""
    identity = read_identity(file_store)
    if identity is not None:
        return identity
    file_store.create(FILE, json.dumps(asdict(StoreIdentity(uuid.uuid4().hex, catalog))).encode())
    # Read back: of several processes only the first one's `create` succeeded, and all take its id.
    winner = read_identity(file_store)
    assert winner is not None
    return winner


def require_store(file_store: FileStore, identity: StoreIdentity | None, *, embedded: bool) -> None:
    """Raise StoreNotFoundError for a place without a store; `identity`: what the place says of itself."""
    if file_store.exists(EMBEDDED) if embedded else identity is not None:
        return
    raise StoreNotFoundError(
        f"there is no store at {file_store.uri}",
        hint=f"`vecrollback init --store {file_store.uri}`, or connect(..., create=True)",
    )


def require_kind(file_store: FileStore, identity: StoreIdentity | None, *, embedded: bool) -> None:
    """Raise CatalogMismatchError when the store has its catalog in another kind of place than the one asked for."""
    where = identity.catalog if identity is not None else EMBEDDED if file_store.exists(EMBEDDED) else None
    if embedded and where not in (EMBEDDED, None):
        raise CatalogMismatchError(
            f"the store at {file_store.uri} has its catalog in {where}",
            hint="name it: --catalog URL, or VECROLLBACK_CATALOG, or `catalog` in vecrollback.toml",
        )
    if not embedded and where == EMBEDDED:
        raise CatalogMismatchError(
            f"the store at {file_store.uri} has its catalog in the directory itself, in {EMBEDDED}",
            hint="leave the catalog's URL out; a store for several hosts is made new, `vecrollback init --catalog URL`",
        )


def require_same(file_store: FileStore, place: str, *, directory: str, catalog: str) -> None:
    """Raise CatalogMismatchError unless both ids are of one store."""
    if directory not in (catalog, UNKNOWN.id):
        raise CatalogMismatchError(
            f"the directory {file_store.uri} is store {directory[:12]}, but the catalog {place} belongs to store "
            f"{catalog[:12]}",
            hint="give the store's own directory and catalog; for a new store in the same database: ?schema=NAME",
        )
