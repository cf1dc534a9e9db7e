"""From one file of unknown origin to a folder whose every byte was verified. The store is not touched."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vecrollback.catalog import now
from vecrollback.corpus.documents import shown
from vecrollback.embedders.companions import digest_kept
from vecrollback.errors import BundleError
from vecrollback.pairs.bundles import contents as toc
from vecrollback.pairs.bundles.tar import COPY_AGAIN, TarEntry, read_entries
from vecrollback.pairs.manifest import Manifest
from vecrollback.records import KeptModel
from vecrollback.storage.artifacts import digest, size
from vecrollback.storage.local import reach
from vecrollback.storage.reading import mapped_array
from vecrollback.storage.signing import BUNDLE, signature_path, signature_problem

_BLOCK = 1 << 20
_SUFFIX = re.compile(r"(\.[a-z0-9]+)+")


@dataclass(frozen=True, slots=True)
class UnpackedBundle:
    """A bundle whose members are as its table of contents says, in `folder`."""

    folder: Path
    contents: toc.BundleContents
    manifest: Manifest

    def artifacts(self) -> dict[str, Path]:
        """The artefacts of the snapshot by name, its manifest included, and where they were unpacked."""
        index = self.manifest.index
        files = {
            self.contents.manifest: toc.MANIFEST,
            self.manifest.probes: toc.PROBES,
            index.ids: toc.IDS,
        } | toc.index_members(index)
        return {name: self.folder / file for name, file in files.items()}

    def model(self) -> dict[str, Path]:
        """The artefact of the pair's model, and where it was unpacked; empty where it is not in the bundle."""
        return {self.contents.model: self.folder / toc.MODEL} if self.contents.model else {}

    def kept_model(self, pair: str) -> KeptModel | None:
        """The row of the model for the pair that is to have it; None where the bundle holds none."""
        for artifact, folder in self.model().items():
            return KeptModel(pair, artifact, size(folder), now())
        return None

    def foreign_code(self) -> str:
        """What in the bundle would be run as a program by whoever opens the pair's model; "" when nothing would."""
        if "trust_remote_code=" in self.contents.pair["embedder"] or "trust_remote_code" in self.manifest.contract:
            return f"its embedder {shown(self.contents.pair['embedder'])} runs code that comes with the model"
        programs = sorted(path.name for path in (self.folder / toc.MODEL).rglob("*.py"))
        return f"its model holds programs: {', '.join(programs[:3])}" if programs else ""


def unpack(path: Path, folder: Path, *, require_signature: bool = False) -> UnpackedBundle:
    """Verify the bundle at `path` and write its members into `folder`, which is made.

    A signature beside it is verified when a key is set; `require_signature`: it must be there.

    Raises BundleError for any byte, name, kind or size that is not what the export wrote.
    """
    if not path.is_file():
        raise BundleError(
            f"file {path} does not exist", hint="`vecrollback snapshot export PAIR@N FILE` makes a bundle"
        )
    with path.open("rb") as stream:
        if require_signature or signature_path(path).exists():
            # Of the same open file that is read next: a path may lead to another one by then.
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            if problem := signature_problem(path, BUNDLE, sha256, required=require_signature):
                raise BundleError(problem, hint="import it only if you know where it comes from")
        entries = read_entries(stream)
        contents = _read_contents(stream, entries)
        folder.mkdir()
        for entry in entries[:-2]:
            _unpack_member(stream, entry, contents.members[entry.name], folder / entry.name)
    if contents.members[toc.MANIFEST].size > toc.MAX_CONTENTS_BYTES:
        toc.refuse(f"{toc.MANIFEST} is too large")
    manifest = toc.decode_manifest((folder / toc.MANIFEST).read_bytes(), contents)
    bundle = UnpackedBundle(folder, contents, manifest)
    _check_artifacts(bundle)
    _check_probes(folder / toc.PROBES, manifest.dimension)
    reach("bundle.unpacked")
    return bundle


def _read_contents(stream: BinaryIO, entries: list[TarEntry]) -> toc.BundleContents:
    if [entry.name for entry in entries[-2:]] != [toc.CONTENTS, toc.SEAL]:
        raise BundleError(
            f"this is not a bundle of vecrollback: it does not end with {toc.CONTENTS} and {toc.SEAL}",
            hint="`vecrollback snapshot export PAIR@N FILE` makes one",
        )
    last = entries[-2:]
    if last[0].size > toc.MAX_CONTENTS_BYTES or last[1].size > _BLOCK:
        toc.refuse(f"{toc.CONTENTS} is too large")
    data, seal = (_read_member(stream, entry) for entry in last)
    contents = toc.decode(data, seal)
    sizes = {entry.name: entry.size for entry in entries[:-2]}
    sizes_listed = {name: member.size for name, member in contents.members.items()}
    if missing := sorted(sizes_listed.keys() - sizes.keys()):
        toc.refuse(f"member {shown(missing[0])} is missing")
    if unexpected := sorted(sizes.keys() - sizes_listed.keys()):
        toc.refuse(f"member {shown(unexpected[0])} is not listed in {toc.CONTENTS}")
    if differing := [name for name in sizes if sizes[name] != sizes_listed[name]]:
        name = differing[0]
        toc.refuse(f"member {shown(name)} has {sizes[name]} bytes, {toc.CONTENTS} says {sizes_listed[name]}")
    return contents


def _read_member(stream: BinaryIO, entry: TarEntry) -> bytes:
    stream.seek(entry.offset)
    return stream.read(entry.size)


def _unpack_member(stream: BinaryIO, entry: TarEntry, member: toc.Member, path: Path) -> None:
    sha256, bytes_left = hashlib.sha256(), entry.size
    stream.seek(entry.offset)
    with _open_new(path) as sink:
        while bytes_left and (block := stream.read(min(_BLOCK, bytes_left))):
            sha256.update(block)
            sink.write(block)
            bytes_left -= len(block)
    if bytes_left or sha256.hexdigest() != member.sha256:
        raise BundleError(f"member {shown(entry.name)} of the bundle was changed: its digest differs", hint=COPY_AGAIN)


def _open_new(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        toc.refuse(f"member {shown(path.name)} would be written over another one")


def _check_artifacts(bundle: UnpackedBundle) -> None:
    """An artefact's name is its digest and a plain suffix; it becomes a path in the store."""
    artifacts = bundle.artifacts()
    if len(artifacts) != 3 + len(bundle.manifest.index.artifacts):
        toc.refuse("one artefact cannot be two things")
    for name, path in {**artifacts, **bundle.model()}.items():
        sha256 = digest(path)
        if not name.startswith(sha256) or not _SUFFIX.fullmatch(name[len(sha256) :]):
            toc.refuse(f"{path.name} is not the artefact {shown(name)}")
    for path in bundle.model().values():
        if digest_kept(path) != bundle.contents.pair["contract"].get("files"):
            toc.refuse(f"the files below {toc.MODEL}/ are not those of the pair's model")


def _check_probes(path: Path, dimension: int) -> None:
    try:
        # mapped, so that a shape larger than the file is refused before memory is taken for it
        probes = mapped_array(path)
    except (ValueError, EOFError, OSError) as error:
        toc.refuse(f"{toc.PROBES}: {str(error)[:200]}")
    if probes.dtype != np.float32 or probes.ndim != 2 or probes.shape[1] != dimension or not np.isfinite(probes).all():
        toc.refuse(f"{toc.PROBES} does not hold vectors of {dimension} dimensions")
