"""What can still be read of damaged files of the log, read by a process of its own, because it may end over them.

Each row says by its digests whether it is what was written: text, metadata and the values that filters look at. Those
that are go into a small table of their own, the others are named. The process: `python -m vecrollback.corpus.rescue`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from vecrollback.corpus.columns import any_of, sound_row
from vecrollback.storage.lance_table import LanceTable

KEYS = ("id", "_seq", "_digest", "_deleted")
"""What a write reads of the documents that are there."""
_ROWS_AT_ONCE = 1_000
_NAMED = 20
_LEAST_BYTES = 4 << 30
_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Rescued:
    """The sound rows of damaged fragments, as a table of the same columns; None where nothing could be read.

    `lost`: how many rows are not among them; `ids`: those of them that could be named. `can_be_written_beside`: a
    write, which reads the keys of all documents, lives through it.
    """

    rows: Any
    lost: int
    ids: tuple[str, ...]
    can_be_written_beside: bool
    _folder: Any = field(repr=False, default=None)


def rescue(table: LanceTable, dataset: Any, fragments: Sequence[Any], tombstones: Mapping[str, int]) -> Rescued:
    """Read these fragments of a version. `tombstones`: of the ledger, which says what was deleted."""
    count = sum(int(fragment.metadata.num_rows) for fragment in fragments)
    folder = tempfile.TemporaryDirectory(prefix="vecrollback-rescued-")
    order = {
        "uri": table.file_store.uri,
        "options": table.file_store.options,
        "version": int(dataset.version),
        "fragments": [int(fragment.fragment_id) for fragment in fragments],
        "bytes": _LEAST_BYTES,
    }
    target = Path(folder.name) / "rows.lance"
    answer = _run(order | {"target": str(target)})
    if answer is None:
        folder.cleanup()
        return Rescued(None, count, (), can_be_written_beside=_run(order | {"target": ""}) is not None)
    rows: Any = None
    if target.exists():
        import lance

        rows = lance.dataset(str(target))
        if wrong := _contradicted(rows, tombstones):
            answer += wrong
            rows.delete(any_of(wrong))
            rows.checkout_latest()
    sound = rows.count_rows() if target.exists() else 0
    return Rescued(rows, max(0, count - sound), tuple(answer[:_NAMED]), True, folder)


def _contradicted(rows: Any, tombstones: Mapping[str, int]) -> list[str]:
    """Ids whose rows say something else than the ledger about whether they are deleted."""
    columns = rows.to_table(columns=["id", "_seq", "_deleted"]).to_pylist()
    return [row["id"] for row in columns if row["_deleted"] != (tombstones.get(row["id"], 0) >= row["_seq"])]


def _run(order: Mapping[str, Any]) -> list[str] | None:
    """The ids that the process named as damaged; None when it could not read on, or was ended by what it read."""
    # The child imports from where this process does, also in a source tree that was never installed.
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    command = [sys.executable, "-P", "-m", "vecrollback.corpus.rescue"]
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(
            command,
            input=json.dumps(order),
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
        )
        return [str(one) for one in json.loads(done.stdout)]
    return None


# -- the process ------------------------------------------------------------------------------------------------------


def _read(order: Mapping[str, Any]) -> list[str]:
    import lance

    dataset = lance.dataset(order["uri"], version=order["version"], storage_options=order["options"])
    wanted = set(order["fragments"])
    fragments = [one for one in dataset.get_fragments() if one.fragment_id in wanted]
    columns = None if order["target"] else list(KEYS)
    damaged: list[str] = []
    for batch in dataset.scanner(columns=columns, fragments=fragments, batch_size=_ROWS_AT_ONCE).to_batches():
        batch.validate(full=True)
        if order["target"]:
            rows = batch.to_pylist()
            sound = [sound_row(row, dataset.schema) for row in rows]
            damaged += [str(row["id"]) for row, is_sound in zip(rows, sound, strict=True) if not is_sound]
            if any(sound):
                kept = pa.Table.from_batches([batch.filter(pa.array(sound))], dataset.schema)
                lance.write_dataset(
                    kept, order["target"], mode="append" if Path(order["target"]).exists() else "create"
                )
    return damaged


def main() -> None:
    """Read an order from standard input; say which documents are damaged."""
    order = json.load(sys.stdin)
    with suppress(ImportError):
        import resource

        # A changed length asks for any amount of memory: better refused to this process than given.
        resource.setrlimit(resource.RLIMIT_AS, (order["bytes"], order["bytes"]))
    print(json.dumps(_read(order)))


if __name__ == "__main__":
    main()
