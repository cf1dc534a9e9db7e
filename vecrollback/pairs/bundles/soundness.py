"""Whether a vectors table is still what was acknowledged."""

from __future__ import annotations

from collections.abc import Mapping

from vecrollback.errors import CorruptArtifactError
from vecrollback.storage.lance_table import LanceTable


def require_sound_table(table: LanceTable, version: int, digests: Mapping[str, str]) -> None:
    """Read every file of a version. Raises CorruptArtifactError naming the first that is missing or changed."""
    for name in sorted(table.files(table.at(version))):
        try:
            found: str | None = table.file_store.digest(name)
        except FileNotFoundError:
            found = None
        if found is None or found != digests.get(name):
            raise CorruptArtifactError(
                f"{name} of table {table.name} is {'changed' if found else 'missing'}",
                hint="import a bundle of the pair under another name (`vecrollback snapshot import FILE --name NEW`): "
                "its vectors are taken over, nothing is embedded again",
            )
