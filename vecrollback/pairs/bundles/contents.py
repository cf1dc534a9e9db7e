"""The table of contents of a bundle, `bundle.json`: whose snapshot it is, and every member's size and SHA-256.

It is the last member but one, so that a bundle is written in one pass; the last, `bundle.sha256`, is its own digest in
the form that `sha256sum -c` reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from vecrollback.catalog import valid_pair_name
from vecrollback.corpus.documents import shown
from vecrollback.errors import BundleError, IndexSpecError
from vecrollback.indexes import ShardSpec, resolve_spec
from vecrollback.pairs.bundles.tar import COPY_AGAIN
from vecrollback.pairs.manifest import INDEX_FACTS, MANIFEST_FACTS, MANIFEST_FORMAT, IndexPart, Manifest, is_exactly
from vecrollback.records import Json, Pair
from vecrollback.storage.base import DigestedTable

FORMAT = 2
PLAIN_FORMAT = 1
"""Format of a bundle without a model: programs from before models were in them still read it."""
KIND = "vecrollback bundle"
CONTENTS, SEAL = "bundle.json", "bundle.sha256"
MANIFEST, PROBES, IDS, INDEX, SHARD = "manifest.json", "probes.npy", "ids.arrow", "index", "shard-"
MODEL = "model"
ROWS, VECTORS, DOCUMENTS = "rows.jsonl", "vectors.f32", "documents.jsonl"
MAX_CONTENTS_BYTES = 64 << 20

_REQUIRED = (MANIFEST, PROBES, IDS, ROWS, VECTORS, DOCUMENTS)
_PAIR = {
    "name": str,
    "embedder": str,
    "fingerprint": str,
    "contract": dict,
    "dimension": int,
    "metric": str,
    "index_spec": str,
    "settings": dict,
    "probes": str,
    "probe_floor": float,
    "created_at": str,
}
_METRICS = ("cosine", "dot", "l2")
_MAX_DIMENSION = 1 << 16
# Watermarks and versions are 64-bit integers in the catalog and in Arrow.
_MAX_NUMBER = 1 << 62


@dataclass(frozen=True, slots=True)
class Member:
    """What a member must be."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BundleContents:
    """`store`: id of the store that exported it. `pair`: its record, as far as it is true in every store.

    `manifest`: name of the manifest's artefact, which is the digest of `manifest.json`. `model`: name of the artefact
    of the pair's kept model, whose files are the members below `model/`; "" where it is not in the bundle.
    """

    store: str
    version: str
    pair: Mapping[str, Json]
    snapshot: int
    manifest: str
    members: Mapping[str, Member]
    format: int = PLAIN_FORMAT
    kind: str = KIND
    model: str = ""


def describe(pair: Pair) -> dict[str, Json]:
    """The part of a pair's record that travels."""
    # Where it lies here says nothing there: the importing store keeps it in files of its own.
    said = {name: getattr(pair, name) for name in _PAIR}
    return said | {"index_spec": "auto"} if pair.backend else said


def product_version() -> str:
    """The version of vecrollback that runs, "unknown" in a checkout that was never installed."""
    try:
        return version("vecrollback")
    except PackageNotFoundError:
        return "unknown"


def encode(contents: BundleContents) -> tuple[bytes, bytes]:
    """The bytes of `bundle.json` and of its seal."""
    # Sorted, so that the same state exports to the same bytes.
    body = asdict(contents)
    if not contents.model:
        del body["model"]
    data = json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False).encode()
    return data, _seal(data)


def decode(data: bytes, seal: bytes) -> BundleContents:
    """Read and verify a table of contents. Raises BundleError."""
    if seal != _seal(data):
        raise BundleError(f"{CONTENTS} of the bundle was changed: its digest differs from {SEAL}", hint=COPY_AGAIN)
    body = _parse_object(data, CONTENTS)
    if body.get("kind") != KIND or type(body.get("format")) is not int:
        raise BundleError(
            f"{CONTENTS} describes no bundle of vecrollback", hint="`vecrollback snapshot export` makes them"
        )
    if body["format"] not in (PLAIN_FORMAT, FORMAT):
        raise BundleError(
            f"the bundle has format {shown(body['format'])}; this vecrollback reads up to {FORMAT}",
            hint="pip install --upgrade vecrollback",
        )
    facts = {"store": str, "version": str, "pair": dict, "snapshot": int, "manifest": str, "members": dict}
    _expect(body, facts, CONTENTS)
    _expect(body["pair"], _PAIR, "its pair")
    members = {name: _member(name, member) for name, member in body["members"].items()}
    model = body.get("model", "")
    if type(model) is not str or bool(model) != (body["format"] == FORMAT):
        refuse(f"{CONTENTS} of format {body['format']} names the model {shown(model)}")
    facts_of_bundle = {name: body[name] for name in facts} | {"members": members}
    contents = BundleContents(**facts_of_bundle, format=body["format"], model=model)
    _check_pair(contents)
    _check_names(contents)
    return contents


def index_members(index: IndexPart) -> dict[str, str]:
    """The members of a bundle that an index's artefacts are, by artefact; one that is a folder has members below it."""
    if not index.shards:
        return {index.artifact: INDEX}
    return {artifact: f"{SHARD}{number}" for number, artifact in enumerate(index.artifacts)}


def decode_manifest(data: bytes, contents: BundleContents) -> Manifest:
    """Read a manifest and hold it against the table of contents. Raises BundleError."""
    body = _parse_object(data, MANIFEST)
    if type(body.get("format")) is not int or body["format"] > MANIFEST_FORMAT:
        raise BundleError(
            f"the snapshot in the bundle has format {shown(body.get('format'))}; "
            f"this vecrollback reads {MANIFEST_FORMAT}",
            hint="pip install --upgrade vecrollback",
        )
    _expect(body, MANIFEST_FACTS | {"index": dict}, MANIFEST)
    _expect(body["index"], INDEX_FACTS, f"the index of {MANIFEST}")
    try:
        manifest = Manifest.decoded(body)
    except (TypeError, AttributeError) as error:
        refuse(f"{MANIFEST}: {error}")
    if manifest.cascade is not None:
        refuse(f"{MANIFEST} is of a pair that is not whole")
    pair = contents.pair
    same = ("fingerprint", "dimension", "metric", "probes")
    differing = [name for name in same if getattr(manifest, name) != pair[name]]
    if differing or (manifest.pair, manifest.number) != (pair["name"], contents.snapshot):
        refuse(f"{MANIFEST} and {CONTENTS} speak of different snapshots {differing}")
    index = manifest.index
    counts = (manifest.rows, manifest.watermark, index.rows, index.chunks)
    numbers = (*counts, manifest.number - 1, manifest.vectors_version - 1)
    if min(numbers) < 0 or max(numbers) > _MAX_NUMBER or type(index.recall) not in (int, float, type(None)):
        refuse(f"{MANIFEST} holds impossible numbers")
    _check_index(index, contents)
    if contents.members[VECTORS].size != 4 * manifest.rows * manifest.dimension:
        refuse(f"{VECTORS} cannot be {manifest.rows} vectors of {manifest.dimension} dimensions")
    return manifest


def refuse(what: str) -> NoReturn:
    """Raise BundleError for content that no export writes."""
    raise BundleError(f"the bundle contradicts itself: {what}", hint="it was not made by `vecrollback snapshot export`")


def _seal(data: bytes) -> bytes:
    return f"{hashlib.sha256(data).hexdigest()}  {CONTENTS}\n".encode()


def _parse_object(data: bytes, name: str) -> dict[str, Any]:
    try:
        body = json.loads(data, parse_constant=_no_number)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate would fail only in the catalog
    except (ValueError, RecursionError) as error:
        refuse(f"{name} is not valid JSON: {error}")
    if not isinstance(body, dict):
        refuse(f"{name} is not a JSON object")
    return body


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a finite number")


def _expect(body: Mapping[str, Json], facts: Mapping[str, type], where: str) -> None:
    for name, kind in facts.items():
        value = body.get(name)
        if not is_exactly(value, kind):
            refuse(f"{where} should say {name!r} as {kind.__name__}, but says {shown(value)}")


def _member(name: str, member: Json) -> Member:
    if not isinstance(member, dict):
        refuse(f"{CONTENTS} says nothing of member {shown(name)}")
    _expect(member, {"size": int, "sha256": str}, f"member {shown(name)}")
    return Member(member["size"], member["sha256"])


def _check_pair(contents: BundleContents) -> None:
    pair = contents.pair
    if not valid_pair_name(pair["name"]):
        refuse(f"{shown(pair['name'])} is not a valid name for a pair")
    if pair["metric"] not in _METRICS or not 1 <= pair["dimension"] <= _MAX_DIMENSION:
        refuse(f"a pair of {shown(pair['dimension'])} dimensions and metric {shown(pair['metric'])}")
    if not 0 <= pair["probe_floor"] <= 1:
        refuse(f"a probe floor of {pair['probe_floor']}")
    try:
        # For 0 chunks, since nothing is built: this only asks whether some index kind here understands the spec.
        resolve_spec(pair["index_spec"], 0)
    except IndexSpecError as error:
        raise BundleError(
            f"the bundle needs an index that this installation cannot build: {error}", hint=error.hint
        ) from None


def _check_names(contents: BundleContents) -> None:
    names = contents.members.keys()
    if missing := [name for name in _REQUIRED if name not in names]:
        refuse(f"{CONTENTS} lists no {', '.join(missing)}")
    index = [name for name in names if name.partition("/")[0] == INDEX or name.startswith(SHARD)]
    if not index or (INDEX in index and len(index) > 1):
        refuse(f"{CONTENTS} lists no index")
    model = [name for name in names if name.startswith(f"{MODEL}/")]
    if bool(model) != bool(contents.model):
        refuse(f"{CONTENTS} and its members speak of different models")
    if strange := sorted(names - {*_REQUIRED, *index, *model}):
        refuse(f"{CONTENTS} lists {', '.join(strange[:3])}, which no bundle holds")


def _check_index(index: IndexPart, contents: BundleContents) -> None:
    """The index is whole, or in as many shards as its spec says; its members are those that are listed."""
    if any(type(shard.artifact) is not str or type(shard.chunks) is not int for shard in index.shards):
        refuse(f"{MANIFEST} names no shards")
    try:
        count = ShardSpec.of(index.spec).count
    except IndexSpecError as error:
        refuse(f"{MANIFEST}: {error}")
    sizes = [shard.chunks for shard in index.shards]
    if (len(sizes) or 1) != count or (sizes and (min(sizes) < 0 or sum(sizes) != index.chunks)):
        refuse(f"{MANIFEST} has {len(sizes)} shards of {sum(sizes)} chunks for {index.spec!r} of {index.chunks}")
    members = {name.partition("/")[0] for name in contents.members} - {*_REQUIRED, MODEL}
    if members != set(index_members(index).values()):
        refuse(f"{MANIFEST} and {CONTENTS} speak of different parts of the index")


def require_sound_table(table: DigestedTable, version: int, digests: Mapping[str, str]) -> None:
    """Read every file of a version. Raises CorruptArtifactError naming the first that is missing or changed."""
    hint = (
        "import a bundle of the pair under another name (`vecrollback snapshot import FILE --name NEW`): "
        "its vectors are taken over, nothing is embedded again"
    )
    table.require_sound([table.manifest(version)], digests, hint=hint, all_known=True)
    table.require_sound(table.files(table.at(version)), digests, hint=hint, all_known=True)
