"""The history written to a file that is kept elsewhere, and compared with one.

The chain of hashes finds an entry that was changed or removed in the middle. Who can write the whole catalog can make
the chain anew, or cut off its end. A file that was exported before, or a notice with the head's hash in somebody's
mailbox, says what the history was then.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from vecrollback.catalog import Catalog, now
from vecrollback.catalog.aliases import broken_links
from vecrollback.errors import UsageError
from vecrollback.records import HistoryProof, Json, Move
from vecrollback.storage.local import written
from vecrollback.storage.signing import HEAD, SigningKey, find_key, head_content, require_key

PURPOSE = "history"
_FORMAT = 1


def export_history(catalog: Catalog, path: Path, *, sign: bool) -> Move | None:
    """Write every move into a file. Raises UsageError for `sign` without a key."""
    moves = catalog.aliases.history()[::-1]
    head = moves[-1] if moves else None
    document: dict[str, Json] = {
        "vecrollback_history": _FORMAT,
        "store": catalog.store_id,
        "at": now(),
        "history": {"number": head.number, "hash": head.hash} if head else {"number": 0, "hash": ""},
        "moves": [asdict(move) for move in moves],
    }
    if sign:
        document["signature"] = require_key(to_sign=True).sign(PURPOSE, _signed(document))
    with written(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return head


def verify_history(catalog: Catalog, against: Sequence[Path], *, require_signature: bool) -> HistoryProof:
    """Compare the history with itself and with files that were exported, or notices that were sent, before."""
    moves = catalog.aliases.history()[::-1]
    problems = [f"move {number} was changed or removed" for number in broken_links(moves)]
    notes = [] if against else ["compared with itself alone: who can write the catalog can make a chain that agrees"]
    key = require_key() if require_signature else find_key()
    for path in against:
        document = _read(path)
        problems += [f"{path}: {problem}" for problem in _differences(catalog, moves, document)]
        signature = document.get("signature")
        if signature is None:
            (problems if require_signature else notes).append(f"{path}: it has no signature")
        elif key is None:
            notes.append(f"{path}: its signature was not verified, because no key is set")
        elif not _is_signed(key, document, str(signature)):
            problems.append(f"{path}: its signature was not made by the key that is set, or it was changed")
    head = moves[-1].hash if moves else ""
    return HistoryProof("fail" if problems else "pass", len(moves), head, tuple(problems), tuple(notes))


def _differences(catalog: Catalog, moves: Sequence[Move], document: dict[str, Json]) -> list[str]:
    if document.get("store") not in (None, catalog.store_id) and "moves" in document:
        return [f"it is of store {str(document['store'])[:12]}, this one is {catalog.store_id[:12]}"]
    by_number = {move.number: move for move in moves}
    if "moves" not in document:
        number, digest = document["history"]["number"], document["history"]["hash"]
        present = by_number.get(number)
        if number and (present is None or present.hash != digest):
            return [f"move {number} is {'gone' if present is None else 'another one than was told of'}"]
        return []
    problems = []
    for entry in document["moves"]:
        present = by_number.get(entry["number"])
        if present is None:
            problems.append(f"move {entry['number']} is gone: {entry['kind']} to {entry['target']} by {entry['actor']}")
        elif asdict(present) != entry:
            differing = [name for name, value in asdict(present).items() if value != entry.get(name)]
            problems.append(f"move {entry['number']} differs in {', '.join(differing)}")
    return problems


def _read(path: Path) -> dict[str, Json]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        history = document["history"]
        if not isinstance(history["number"], int) or not isinstance(history["hash"], str):
            raise TypeError("its head has no number or no hash")
        moves = document.get("moves", [])
        fields = {"number", "kind", "target", "actor"}
        if not isinstance(moves, list) or any(
            fields - entry.keys() or not isinstance(entry["number"], int) for entry in moves
        ):
            raise TypeError("its moves are not as they are exported")
    except FileNotFoundError:
        raise UsageError(f"file {path} does not exist", hint="`vecrollback history export FILE` writes one") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path} is neither an exported history nor a notice: {error}",
            hint="`vecrollback history export FILE` writes one; a notice is taken as the JSON that was delivered",
        ) from error
    return dict(document)


def _is_signed(key: SigningKey, document: dict[str, Json], signature: str) -> bool:
    if "moves" in document:
        return key.verify(PURPOSE, _signed(document), signature)
    head = document["history"]
    return key.verify(HEAD, head_content(str(document.get("store_id")), head["number"], head["hash"]), signature)


def _signed(document: dict[str, Json]) -> bytes:
    """What a signature covers: everything but itself, in one spelling."""
    rest = {name: value for name, value in document.items() if name != "signature"}
    return json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
