"""A stamp: contract and probes of an embedder as one text, kept beside vectors that vecrollback does not own.

Whoever opens the vectors later compares the model at hand with it: by what the model does, and not by its name.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vecrollback.embedders.base import Embedder
from vecrollback.embedders.probes import ProbeComparison, compare_probes, embed_probes, measured_floor
from vecrollback.errors import CorruptArtifactError
from vecrollback.records import Json
from vecrollback.records.arrays import FloatArray

STAMPS = "vecrollback_stamps"
"""Name of the table or collection that holds stamps in a database, one row for each collection there."""

STAMP_FILE = "vecrollback-stamp.json"
"""The stamp of a folder."""

PARQUET_STAMP = b"vecrollback_stamp"
"""Key of the stamp in the metadata of a Parquet file's schema."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a collection's vectors are made with.

    Attributes:
        spec: The string that opens the embedder, or the class of an object that has none.
        contract: What shapes its vectors.
        fingerprint: The digest of the contract.
        floor: Least cosine of a probe, from 0 to 1, at which a model counts as this one.
        probes: float32, shape (80, dimension), as `embed_probes` gave them.
        at: When the stamp was made, ISO 8601 in UTC.
    """

    spec: str
    contract: Mapping[str, Json]
    fingerprint: str
    floor: float
    probes: FloatArray = field(repr=False)
    at: str

    @classmethod
    def of(cls, embedder: Embedder) -> Stamp:
        """Make the stamp of an embedder; 80 texts are embedded.

        Raises:
            EmbeddingError: The model gave no usable vectors.

        Example:
            >>> from vecrollback.embedders import open_embedder
            >>> stamp = Stamp.of(open_embedder("hash:32"))
            >>> Stamp.parse(stamp.as_text()).compare(open_embedder("hash:32?seed=9")).agrees
            False
        """
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        contract = dict(embedder.contract)
        probes = embed_probes(embedder)
        return cls(embedder.spec, contract, embedder.fingerprint, measured_floor(embedder), probes, now)

    @classmethod
    def parse(cls, text: str) -> Stamp:
        """Read what `as_text` wrote. Raises CorruptArtifactError."""
        try:
            values = json.loads(text)
            flat = np.frombuffer(base64.b64decode(values["probes"]), "<f4")
            probes = flat.reshape(-1, int(values["dimension"])).astype(np.float32)
            fields = values["spec"], values["contract"], values["fingerprint"], float(values["floor"])
            return cls(*fields, probes, values["at"])
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptArtifactError(
                f"the stamp beside the vectors cannot be read: {error}",
                hint="make a new one: vecrollback.guard.unstamp, then guard",
            ) from error

    def as_text(self) -> str:
        """JSON, about 110 KB for 384 dimensions."""
        values = {"format": _FORMAT, "spec": self.spec, "contract": dict(self.contract)}
        values |= {"fingerprint": self.fingerprint, "floor": self.floor, "dimension": self.dimension, "at": self.at}
        return json.dumps(values | {"probes": base64.b64encode(self.probes.astype("<f4").tobytes()).decode()})

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return int(self.probes.shape[1])

    def compare(self, embedder: Embedder) -> ProbeComparison:
        """Embed the probes with another embedder, and compare."""
        if embedder.dimension != self.dimension:
            return compare_probes(self.probes, np.empty((0, embedder.dimension), np.float32), self.floor)
        return compare_probes(self.probes, embed_probes(embedder, self.probes), self.floor)

    def facts(self) -> dict[str, Json]:
        """What a report says of it."""
        return {"spec": self.spec, "fingerprint": self.fingerprint, "dimension": self.dimension, "at": self.at}
