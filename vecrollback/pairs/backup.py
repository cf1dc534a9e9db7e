"""A whole store as one file: log, catalog, pairs, models kept with them, and the policy of the store.

A backup is a plain tar (see `vecrollback.pairs.bundles.tar`) of numbered members; `backup.json`, the last but one, says
which file of the store each is, with its size and SHA-256, and `backup.sha256` is its own digest. It is taken of one
moment, while everything runs: the catalog is copied in one transaction, and what it names neither changes nor goes
while the files are copied. Every file is compared with its recorded digest on the way.

It is restored into an empty store, which keeps an identity of its own. The catalog's rows come last, in one
transaction: a restore that was killed leaves an empty store, and the same command does it anew. A backup is not signed:
its digests tell damage, not who made it. It holds the digests of tokens, never a token.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vecrollback.catalog import CORPUS, EARLIER, Catalog, now, vectors_table
from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.documents import shown
from vecrollback.errors import BundleError, CorruptArtifactError, PairStateError, UsageError
from vecrollback.pairs.bundles.contents import product_version
from vecrollback.pairs.bundles.tar import COPY_AGAIN, TarEntry, TarWriter, read_entries, safe
from vecrollback.pairs.manifest import load_manifest
from vecrollback.pairs.resources import Resources
from vecrollback.records import BackupContents, BackupResult, Json
from vecrollback.storage import LocalFileStore
from vecrollback.storage.lance_table import LanceTable
from vecrollback.storage.local import reach, sha256_file, written
from vecrollback.storage.signing import (
    BACKUP,
    SUFFIX,
    require_key,
    signature_path,
    signature_problem,
    write_signature,
)

if TYPE_CHECKING:
    from vecrollback.storage.s3 import S3FileStore

FORMAT = 1
KIND = "vecrollback backup"
_CONTENTS, _SEAL = "backup.json", "backup.sha256"
_CATALOG, _POLICY = "catalog.db", "vecrollback.toml"
_MAX_CONTENTS = 64 << 20
_BLOCK = 1 << 20
_ATTEMPTS = 3
_FOLDERS = ("tables/", "artifacts/")


@dataclass(frozen=True, slots=True)
class _Member:
    """A file of the store: its path there, its size and SHA-256."""

    path: str
    bytes: int
    sha256: str


class Backups:
    """Backs one store up, and restores a backup into it while it is empty."""

    def __init__(self, resources: Resources) -> None:
        self._resources, self._catalog = resources, resources.catalog

    # -- creating -----------------------------------------------------------------------------------------------------

    def create(self, target: str | Path, *, sign: bool = False) -> BackupResult:
        """Write everything that the store knows, at one moment, to one file. Others write, switch and prune meanwhile.

        A prune waits until it is done. What was deleted before the moment is in no answer of the restored store; its
        bytes are gone by then, too.

        Args:
            target: A file, which is there whole or not at all, or `s3://BUCKET/KEY`.
            sign: Also write a signature beside it, TARGET.sig, with the key of `VECROLLBACK_KEY_FILE` or
                `VECROLLBACK_KEY`.

        Returns:
            What was written.

        Raises:
            CorruptArtifactError: Something that would go into the file is damaged.
            PairStateError: The vectors of a pair lie in a database.
            UsageError: The address is not valid, or `sign` and no key is set that can sign.

        Example:
            >>> store.backups.create("all.backup").documents
            2
        """
        if sign:
            require_key(to_sign=True)  # before the work, not after it
        for pair in self._catalog.pairs.all():
            if pair.backend:
                raise PairStateError(
                    f"the vectors of pair {pair.name!r} lie in a database, which a backup of files cannot hold",
                    hint="back that database up with its own tools, and pairs in files with `snapshot export`",
                )
        with tempfile.TemporaryDirectory(prefix="vecrollback-backup-") as own, _writable(target) as temporary:
            copy = self._attempts(temporary, Path(own))
            size, sha256 = temporary.stat().st_size, sha256_file(temporary)
            reach("backup.written")
        # What lies there is of the file that was there before.
        _forget_signature(target)
        if sign:
            with _writable(f"{target}{SUFFIX}") as temporary:
                write_signature(temporary, BACKUP, sha256)
        return BackupResult(str(target), size, sha256, copy)

    def _attempts(self, temporary: Path, own: Path) -> BackupContents:
        for attempt in range(_ATTEMPTS):
            folder = own / str(attempt)
            folder.mkdir()
            with ExitStack() as kept, temporary.open("wb") as stream:
                copy = self._pinned_copy(kept, folder)
                kept.callback(copy.close)
                try:
                    return self._write(stream, copy, folder)
                except (FileNotFoundError, CorruptArtifactError):
                    # A purge waits for nobody: with it the version that was being read is gone.
                    if attempt == _ATTEMPTS - 1 or copy.ledger.state() == self._catalog.ledger.state():
                        raise
        raise AssertionError("the last attempt returns or raises")

    def _pinned_copy(self, kept: ExitStack, folder: Path) -> Catalog:
        """The catalog of one moment, of which nothing goes until `kept` ends."""
        kept.enter_context(self._catalog.lock("prune"))
        kept.enter_context(self._catalog.reading(CORPUS))
        kept.enter_context(self._catalog.reading(EARLIER))
        for pair in self._catalog.pairs.all():
            kept.enter_context(self._catalog.reading(vectors_table(pair.name)))
        self._catalog.copy_to(folder)
        return Catalog(folder)

    def _write(self, stream: BinaryIO, copy: Catalog, folder: Path) -> BackupContents:
        tar, members = TarWriter(stream), list[_Member]()
        for path, digest, blocks in self._files(copy):
            offset, sha256 = tar.begin(), hashlib.sha256()
            for block in blocks:
                sha256.update(block)
                stream.write(block)
            size = tar.end(_name(len(members)), offset)
            if digest not in ("", sha256.hexdigest()):
                raise CorruptArtifactError(
                    f"{path} was changed after it was written", hint="`vecrollback check` finds what is damaged"
                )
            members.append(_Member(path, size, sha256.hexdigest()))
        reach("backup.files_written")
        members.append(self._append_catalog(tar, stream, copy, folder, len(members)))
        contents = _described(copy, members, self._catalog.store_id)
        data = json.dumps(contents, sort_keys=True, indent=1).encode()
        for name, body in ((_CONTENTS, data), (_SEAL, f"{hashlib.sha256(data).hexdigest()}  {_CONTENTS}\n".encode())):
            offset = tar.begin()
            stream.write(body)
            tar.end(name, offset)
        tar.close()
        return _contents(contents)

    def _append_catalog(self, tar: TarWriter, stream: BinaryIO, copy: Catalog, folder: Path, number: int) -> _Member:
        copy.close()  # what SQLite keeps beside its file is in it from here on
        data = (folder / _CATALOG).read_bytes()
        offset = tar.begin()
        stream.write(data)
        return _Member(_CATALOG, tar.end(_name(number), offset), hashlib.sha256(data).hexdigest())

    def _files(self, copy: Catalog) -> Iterator[tuple[str, str, Iterator[bytes]]]:
        """Path, recorded digest ("" where the path or nothing says it) and bytes of every file but the catalog's."""
        policy = self._resources.root / _POLICY
        if policy.is_file():
            yield _POLICY, "", LocalFileStore(self._resources.root).blocks(_POLICY)
        for owner, versions in _versions(copy).items():
            table, digests = (
                LanceTable(self._resources.file_store.inside(f"tables/{owner}.lance")),
                copy.files.of(owner),
            )
            for version in versions:
                table.require_sound([table.manifest(version)], digests)  # before it is opened
            names = {name for version in versions for name in table.files(table.at(version))}
            for name in sorted(names):
                yield f"tables/{owner}.lance/{name}", digests.get(name, ""), table.file_store.blocks(name)
        for name in sorted(_artifacts(self._resources, copy)):
            if wrong := self._resources.artifacts.verify(name):
                raise CorruptArtifactError(f"artefact {wrong}", hint="`vecrollback check` finds what is damaged")
            path = self._resources.artifacts.require(name)
            for file in sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]:
                inner = f"/{file.relative_to(path).as_posix()}" if path.is_dir() else ""
                yield f"artifacts/{name}{inner}", "", LocalFileStore(file.parent).blocks(file.name)

    # -- restoring ----------------------------------------------------------------------------------------------------

    def restore(
        self, source: str | Path, *, erased: Mapping[str, int] | None = None, require_signature: bool = False
    ) -> BackupContents:
        """Fill this store, which must be empty, with a backup. The same call again goes on after one that was killed.

        Aliases, pairs, snapshots, golden queries, incidents, tokens and the policy are as they were. Deleted documents
        stay deleted, and no byte of their texts is in the restored documents.

        Args:
            source: The file, or `s3://BUCKET/KEY`.
            erased: Tombstones of the store that the backup was taken of, id -> seq, as its ledger has them now: what
                was deleted there after the backup is deleted here, too, before anybody can ask for it.
            require_signature: Refuse a file that the key of `VECROLLBACK_KEY_FILE` or `VECROLLBACK_KEY` did not sign.
                A signature that is there is verified whenever a key is set.

        Returns:
            What is in the backup.

        Raises:
            BundleError: The file is damaged, not a backup, or not signed as asked; the store is as it was.
            PairStateError: The store is not empty.

        Example:
            >>> with connect("copy", create=True) as copy:
            ...     _ = copy.backups.restore("all.backup")
            ...     copy.live().name
            'v2'
        """
        state = self._catalog.ledger.state()
        if state.head or self._catalog.pairs.all():
            raise PairStateError(
                "a backup is restored into an empty store, and this one is in use",
                hint="name another place: `vecrollback backup restore FILE --store NEW`",
            )
        with (
            self._catalog.lock("import"),
            self._resources.artifacts.workspace(".restore") as workspace,
            _readable(source, workspace) as path,
        ):
            folder = workspace / "store"
            contents = _unpack(path, folder, require_signature=require_signature)
            reach("backup.unpacked")
            copy = Catalog(folder)
            try:
                _erase(copy, folder, erased or {}, head=contents.head)
                reach("backup.erased")
                self._place(folder, workspace)
                reach("backup.placed")
                copy.copy_into(self._catalog)
                reach("backup.registered")
            finally:
                copy.close()
        self._resources.corpus.table.reopen()
        return contents

    def _place(self, folder: Path, workspace: Path) -> None:
        """Move the files to where the catalog's rows, which come last, will look for them."""
        for path in sorted((folder / "artifacts").glob("*")):
            self._resources.artifacts.restore(path.name, path)
        for path in sorted((folder / "tables").glob("*.lance")):
            place = self._resources.file_store.inside(f"tables/{path.name}")
            place.receive(path, workspace / f"before-{path.name}")
        policy = folder / _POLICY
        if policy.is_file():
            with written(self._resources.root / _POLICY, shared=True) as temporary:
                shutil.copyfile(policy, temporary)


def verify(source: str | Path, *, require_signature: bool = False) -> BackupContents:
    """Read a backup whole and compare every byte with what was written.

    Args:
        source: The file, or `s3://BUCKET/KEY`.
        require_signature: Refuse a file that the key of `VECROLLBACK_KEY_FILE` or `VECROLLBACK_KEY` did not sign.

    Returns:
        What is in it.

    Raises:
        BundleError: The file is damaged, not a backup, or not signed as asked.

    Example:
        >>> verify("all.backup").documents
        2
    """
    with tempfile.TemporaryDirectory(prefix="vecrollback-backup-") as own, _readable(source, Path(own)) as path:
        return _unpack(path, None, require_signature=require_signature)


# -- what belongs to a store ------------------------------------------------------------------------------------------


def _versions(copy: Catalog) -> dict[str, list[int]]:
    """Owner of a table -> the versions that somebody may ask for."""
    versions = {CORPUS: {copy.ledger.state().version}}
    if earlier := copy.ledger.earlier().version:
        versions[EARLIER] = {earlier}
    for pair in copy.pairs.all():
        snapshots = {snapshot.vectors_version for snapshot in copy.pairs.snapshots(pair.name)}
        versions[vectors_table(pair.name)] = {pair.vectors_version, *snapshots}
    return {owner: sorted(numbers) for owner, numbers in versions.items()}


def _artifacts(resources: Resources, copy: Catalog) -> set[str]:
    names = {pair.probes for pair in copy.pairs.all()} | {kept.artifact for kept in copy.models.all_kept().values()}
    for snapshot in copy.pairs.snapshots():
        names |= {snapshot.manifest, *load_manifest(resources.artifacts, snapshot.manifest).artifacts()}
    return names


def _erase(copy: Catalog, folder: Path, erased: Mapping[str, int], *, head: int) -> None:
    """Delete what was erased after the backup, and purge the bytes of all that is deleted."""
    tables = LocalFileStore(folder / "tables")
    corpus = Corpus(tables.inside(f"{CORPUS}.lance"), tables.inside(f"{EARLIER}.lance"), copy)
    later = sorted(id_ for id_, seq in erased.items() if seq > head)
    if later:
        corpus.delete(later)
    corpus.compact(purge=True)


# -- the file ---------------------------------------------------------------------------------------------------------


def _name(number: int) -> str:
    return f"file-{number:06d}"


def _described(copy: Catalog, members: list[_Member], store: str) -> dict[str, Json]:
    state = copy.ledger.state()
    live = copy.aliases.get("live")
    return {
        "kind": KIND,
        "format": FORMAT,
        "version": product_version(),
        "store": store,
        "created_at": now(),
        "head": state.head,
        "documents": state.documents,
        "pairs": [pair.name for pair in copy.pairs.all()],
        "live": live.ref if live else "",
        "files": [asdict(member) for member in members],
    }


def _contents(body: Mapping[str, Json]) -> BackupContents:
    files = body["files"]
    return BackupContents(
        store=str(body["store"]),
        version=str(body["version"]),
        created_at=str(body["created_at"]),
        head=int(body["head"]),
        documents=int(body["documents"]),
        pairs=tuple(body["pairs"]),
        live=str(body["live"]),
        files=len(files),
        bytes=sum(int(file["bytes"]) for file in files),
    )


def _unpack(path: Path, folder: Path | None, *, require_signature: bool) -> BackupContents:
    """Verify a backup, and write its files into `folder` unless that is None. Raises BundleError."""
    if not path.is_file():
        raise BundleError(f"file {path} does not exist", hint="`vecrollback backup create FILE` makes a backup")
    with path.open("rb") as stream:
        if require_signature or signature_path(path).exists():
            # Of the same open file that is read next: a path may lead to another one by then.
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            if problem := signature_problem(path, BACKUP, sha256, required=require_signature):
                raise BundleError(problem, hint="restore it only if you know where it comes from")
        entries = read_entries(stream)
        body = _read_contents(stream, entries)
        try:
            members = [_Member(**file) for file in body["files"]]
            contents = _contents(body)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(f"{_CONTENTS} cannot be read") from error
        if [(entry.name, entry.size) for entry in entries[:-2]] != [
            (_name(number), member.bytes) for number, member in enumerate(members)
        ]:
            raise _damaged(f"its members are not those of {_CONTENTS}")
        for entry, member in zip(entries, members, strict=False):
            _unpack_member(stream, entry, member, folder)
    return contents


def _read_contents(stream: BinaryIO, entries: list[TarEntry]) -> Mapping[str, Json]:
    last = entries[-2:]
    if [entry.name for entry in last] != [_CONTENTS, _SEAL] or last[0].size > _MAX_CONTENTS:
        raise BundleError(
            f"this is not a backup of vecrollback: it does not end with {_CONTENTS} and {_SEAL}",
            hint="`vecrollback backup create FILE` makes one",
        )
    stream.seek(last[0].offset)
    data = stream.read(last[0].size)
    stream.seek(last[1].offset)
    if stream.read(last[1].size) != f"{hashlib.sha256(data).hexdigest()}  {_CONTENTS}\n".encode():
        raise _damaged(f"{_CONTENTS} was changed")
    body = json.loads(data)
    if not isinstance(body, dict) or body.get("kind") != KIND:
        raise _damaged(f"{_CONTENTS} is not of a backup")
    if body.get("format") != FORMAT:
        raise BundleError(
            f"the backup has format {shown(body.get('format'))}; this vecrollback knows {FORMAT}",
            hint="pip install --upgrade vecrollback",
        )
    return body


def _unpack_member(stream: BinaryIO, entry: TarEntry, member: _Member, folder: Path | None) -> None:
    if member.path not in (_CATALOG, _POLICY) and not (safe(member.path) and member.path.startswith(_FOLDERS)):
        raise _damaged(f"{member.path[:200]!r} is not the path of a store's file")
    sha256, left = hashlib.sha256(), entry.size
    stream.seek(entry.offset)
    with ExitStack() as stack:
        sink = None
        if folder is not None:
            target = folder / member.path
            target.parent.mkdir(parents=True, exist_ok=True)
            sink = stack.enter_context(target.open("xb"))
        while left and (block := stream.read(min(_BLOCK, left))):
            sha256.update(block)
            left -= len(block)
            if sink is not None:
                sink.write(block)
    if left or sha256.hexdigest() != member.sha256:
        raise _damaged(f"{member.path} was changed")


def _damaged(what: str) -> BundleError:
    return BundleError(f"this backup is damaged: {what}", hint=COPY_AGAIN)


# -- on object storage ------------------------------------------------------------------------------------------------


def _object(address: str) -> S3FileStore:
    """One object, whose name is "" in the file store that is returned."""
    from vecrollback.storage.s3 import S3FileStore
    from vecrollback.storage.s3_address import parse_address

    return S3FileStore(parse_address(address))


@contextmanager
def _writable(target: str | Path) -> Iterator[Path]:
    """Where to write; on a clean exit it is at its target."""
    if not str(target).startswith("s3://"):
        path = Path(target)
        if path.is_dir():
            raise UsageError(f"{path} is a directory", hint="name the file: `vecrollback backup create FILE`")
        with written(path) as temporary:
            yield temporary
        return
    place = _object(str(target))
    with tempfile.TemporaryDirectory(prefix="vecrollback-backup-") as own:
        yield Path(own) / "backup"
        place.write("", Path(own) / "backup")


@contextmanager
def _readable(source: str | Path, workspace: Path) -> Iterator[Path]:
    if not str(source).startswith("s3://"):
        yield Path(source)
        return
    path = workspace / "fetched"
    with path.open("wb") as sink:
        try:
            sink.writelines(_object(str(source)).blocks(""))
        except FileNotFoundError:
            raise BundleError(f"there is no object at {source}", hint="`vecrollback backup create` makes one") from None
    with suppress(FileNotFoundError):
        signature_path(path).write_bytes(_object(f"{source}{SUFFIX}").read(""))
    yield path
    path.unlink()
    signature_path(path).unlink(missing_ok=True)


def _forget_signature(target: str | Path) -> None:
    if str(target).startswith("s3://"):
        _object(f"{target}{SUFFIX}").remove_all([""])
    else:
        signature_path(Path(target)).unlink(missing_ok=True)
