"""Bundles taken apart, changed and put together again, so that only what was changed is wrong with them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Members = dict[str, bytes]
Listing = dict[str, Any]


def members(bundle: Path) -> Members:
    with tarfile.open(bundle) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def header(name: str, size: int, **other: Any) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in other.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def member(name: str, data: bytes, **other: Any) -> bytes:
    return header(name, len(data), **other) + data + bytes(-len(data) % 512)


def sealed(found: Members, change: Callable[[Listing], None] = lambda _: None) -> bytes:
    """A bundle of these members whose table of contents and digests are right, but for what `change` does to it."""
    listing = json.loads(found["bundle.json"])
    body = {name: data for name, data in found.items() if not name.startswith("bundle.")}
    listing["members"] = {n: {"size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in body.items()}
    change(listing)
    return b"".join(member(name, data) for name, data in body.items()) + contents(json.dumps(listing).encode())


def contents(data: bytes) -> bytes:
    seal = f"{hashlib.sha256(data).hexdigest()}  bundle.json\n".encode()
    return member("bundle.json", data) + member("bundle.sha256", seal) + bytes(1024)


def with_manifest(found: Members, **facts: Any) -> bytes:
    """The same with other facts in the manifest, under the name that its digest gives it."""
    manifest = json.dumps(json.loads(found["manifest.json"]) | facts).encode()
    name = hashlib.sha256(manifest).hexdigest() + ".json"
    return sealed(found | {"manifest.json": manifest}, lambda listing: listing.update(manifest=name))


def with_artifact(found: Members, member_name: str, data: bytes, *, suffix: str, key: str) -> bytes:
    """The same with other bytes for one artefact, and everything that names it changed along."""
    name = hashlib.sha256(data).hexdigest() + suffix
    manifest = json.loads(found["manifest.json"])
    if key in manifest:
        manifest[key] = name
    else:
        manifest["index"][key] = name
    written = json.dumps(manifest).encode()

    def change(listing: Listing) -> None:
        listing["manifest"] = hashlib.sha256(written).hexdigest() + ".json"
        if key in listing["pair"]:
            listing["pair"][key] = name

    return sealed(found | {member_name: data, "manifest.json": written}, change)


def inserted(bundle: bytes, extra: bytes) -> bytes:
    """The bundle with something more before its first member."""
    return extra + bundle


def zip_of_zeros() -> bytes:
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(50 << 20))
    return stream.getvalue()


def npy_header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
