"""The check of a pair against the log: bytes, rows, index and behaviour.

`quick` looks at catalog, manifest, presence of files and the pair's lag; it reads no vectors and loads no model.
`full` reads and verifies everything, and ends with a certificate from re-embedded vectors.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal, get_args

from vecrollback.catalog import CORPUS, EARLIER, now, vectors_table
from vecrollback.embedders import Embedder
from vecrollback.errors import (
    CorruptArtifactError,
    EmbedderChangedError,
    FailedError,
    PairStateError,
    StorageUnavailableError,
    UsageError,
    VecrollbackError,
)
from vecrollback.pairs.manifest import Manifest, load_manifest
from vecrollback.pairs.resources import Resources
from vecrollback.quality.check import files, index, sample
from vecrollback.quality.check import rows as row_checks
from vecrollback.quality.check.bridged import keep_bridged
from vecrollback.quality.check.doubt import keep_doubt
from vecrollback.quality.check.findings import LAWS, Notes, verdict_of
from vecrollback.quality.check.sample import Sampling
from vecrollback.quality.stages import Stages
from vecrollback.records import Certificate, Pair, ProgressCallback, Report
from vecrollback.storage.reading import readable
from vecrollback.storage.spans import span
from vecrollback.storage.steps import step

__all__ = ["LAWS", "Checker", "Level", "Sampling"]

Level = Literal["quick", "full"]
_DEFAULT = Sampling()
_ATTEMPTS = 3


class Checker:
    """Examines pairs; changes nothing. The sample is drawn anew for every report."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._corpus, self._artifacts = resources.catalog, resources.corpus, resources.artifacts
        # At this moment, not within the last seconds: what is found here may be written anew.
        self._vectors_of, self._model_of = resources.vectors_of, partial(resources.embedders.proven, now=True)
        self._probes_of = resources.embedders.batch_probes

    def run(
        self,
        pair: Pair,
        level: Level = "full",
        sampling: Sampling = _DEFAULT,
        progress: ProgressCallback | None = None,
    ) -> Report:
        """Check one pair. Raises PairStateError for a pair without a snapshot, UsageError for another level.

        `progress` is called after every batch. What it raises ends the check, and is raised here.
        """
        if level not in get_args(Level):
            raise UsageError(f"level is {level!r}", hint="'quick' or 'full'")
        if not pair.snapshot:
            raise PairStateError(
                f"pair {pair.name!r} is {pair.state}: there is no snapshot to check",
                hint=f"finish it: `vecrollback reembed {pair.embedder!r} --name {pair.name}`",
            )
        with (
            span("check", pair=pair.name, level=level) as note,
            self._catalog.reading(vectors_table(pair.name)),
            self._catalog.reading(CORPUS),
        ):
            stages = Stages("check", progress)
            report = self._run(self._catalog.pairs.find(pair.name) or pair, level, sampling, stages)
            note(verdict=report.verdict, findings=len(report.findings))
            return report

    def _run(self, pair: Pair, level: Level, sampling: Sampling, stages: Stages) -> Report:
        # No lock keeps a purge from removing files during the check; then the whole check is done again.
        for _ in range(_ATTEMPTS):
            version = self._corpus.state().version
            notes, certificate = self._attempt(pair, level, sampling, stages)
            has_damage = notes.has("file_corrupt") or notes.has("unreadable")
            if not has_damage or self._corpus.state().version == version:
                break  # else a purge may have taken the files away that were just being read
        return Report(
            pair=pair.name,
            snapshot=pair.snapshot,
            level=level,
            verdict=verdict_of(notes),
            findings=tuple(notes),
            certificate=certificate,
            watermark=pair.watermark,
            head=self._corpus.state().head,
            at=now(),
            examined=notes.examined,
        )

    def _attempt(
        self, pair: Pair, level: Level, sampling: Sampling, stages: Stages
    ) -> tuple[Notes, Certificate | None]:
        notes, certificate = Notes(), None
        manifest = self._manifest(notes, pair)
        if manifest is not None:
            with step("comparing files with their digests"):
                self._files(notes, pair, manifest, stages, deep=level == "full")
            if level == "full":
                certificate = self._deep(notes, pair, manifest, sampling, stages)
        before = self._catalog.reports.newest(pair.name)
        if not notes.proven:
            keep_doubt(notes, before)
        if "bridged" not in notes.examined:
            keep_bridged(notes, before)
        return notes, certificate

    def _manifest(self, notes: Notes, pair: Pair) -> Manifest | None:
        try:
            name = self._catalog.pairs.find_snapshot(pair.ref).manifest
            if wrong := self._artifacts.verify(name):  # what is read here may be a copy of what is stored
                raise CorruptArtifactError(f"manifest {wrong}")
            return load_manifest(self._artifacts, name)
        except StorageUnavailableError:
            raise
        except VecrollbackError as error:
            notes.add("manifest_corrupt", str(error), [pair.ref])
            return None

    def _files(self, notes: Notes, pair: Pair, manifest: Manifest, stages: Stages, *, deep: bool) -> None:
        stages.enter("comparing files with their digests")
        files.examine_catalog(notes, self._catalog, pair, manifest)
        files.examine_artifacts(notes, self._artifacts, manifest, deep=deep)
        stages.enter("comparing the model's files with their digests")
        files.examine_kept_model(notes, self._artifacts, self._catalog.models.kept(pair.name), deep=deep)
        files.examine_bridges(notes, self._artifacts, self._catalog.bridges.into(pair.name), deep=deep)
        stages.enter("comparing the files of the vectors with their digests")
        owner = vectors_table(pair.name)
        digests = self._catalog.files.of(owner)
        files.examine_table(notes, self._vectors_of(pair).files, pair.vectors_version, digests, deep=deep, about="pair")
        differing = [path for path, digest in manifest.vector_files.items() if digests.get(path) != digest]
        notes.add("catalog_differs", f"digests of {owner} in catalog and manifest disagree", differing)
        stages.enter("comparing the files of the log with their digests")
        state = self._corpus.state()
        digests = self._catalog.files.of(CORPUS)
        files.examine_table(notes, self._corpus.table, state.version, digests, deep=deep, about="log")
        if earlier := self._catalog.ledger.earlier().version:
            digests = self._catalog.files.of(EARLIER)
            files.examine_table(notes, self._corpus.earlier.table, earlier, digests, deep=deep, about="log")

    def _deep(
        self, notes: Notes, pair: Pair, manifest: Manifest, sampling: Sampling, stages: Stages
    ) -> Certificate | None:
        if notes.has("file_corrupt"):
            message = "rows and vectors were not examined: reading damaged files may end the process"
            about: Literal["pair", "log"] = "pair" if notes.has("file_corrupt", about="pair") else "log"
            notes.add("unreadable", message, [pair.ref], severity="unknown", about=about)
            return None
        try:
            with readable(f"a file of pair {pair.name!r} or of the log"):
                return self._examine(notes, pair, manifest, sampling, stages)
        except (VecrollbackError, OSError) as error:
            if stages.stop is not None:
                raise stages.stop from None  # somebody ended the check: that says nothing about the pair
            notes.add("unreadable", f"the check could not go on: {error}", [pair.ref], severity="unknown")
            return None

    def _examine(
        self, notes: Notes, pair: Pair, manifest: Manifest, sampling: Sampling, stages: Stages
    ) -> Certificate | None:
        # The pair first, then the log: what was written in between lies after the watermark and is not yet due.
        pair = self._catalog.pairs.get(pair.name)
        state, tombstones = self._catalog.ledger.standing()
        try:
            stages.enter("reading the log")
            with step("reading the log"):
                log = row_checks.read_log(notes, self._corpus, state, tombstones, stages.did)
        except FailedError as error:
            if stages.stop is not None:
                raise
            message = f"the check could not go on: {error}"
            notes.add("unreadable", message, [pair.ref], severity="unknown", about="log")
            return None
        table, version = self._vectors_of(pair), pair.vectors_version
        stages.enter("reading the vectors")
        with step("reading the vectors"):
            rows = row_checks.read_rows(table, version, tombstones)
            evidence = row_checks.PairEvidence(pair, self._corpus, state.version, log, rows, table.vectors(version))
        row_checks.examine_rows(notes, log, rows, pair, self._catalog.embedding.without(pair=pair.name))
        same = self._catalog.equivalences.of(pair.fingerprint)
        row_checks.examine_vectors(notes, evidence, same)
        # A damaged index is not opened: reading it may end the process.
        if not notes.has("artifact_corrupt"):
            stages.enter("examining the index")
            with step("examining the index"):
                index.examine_index(notes, self._artifacts, manifest, evidence, table)
        # The model comes last: where it cannot be loaded, everything else has been examined by now.
        stages.enter("proving the model by its probes")
        with step(f"proving the model of {pair.name} by its probes"):
            embedder = sample.load(notes, self._model_of, pair)
        if embedder is None:
            return None
        try:
            return self._compare(
                notes, embedder, replace(evidence, probes=self._probes_of(pair), stages=stages), sampling
            )
        except EmbedderChangedError as error:
            notes.add("embedder_changed", str(error), [pair.embedder])
            return None

    def _compare(
        self, notes: Notes, embedder: Embedder, evidence: row_checks.PairEvidence, sampling: Sampling
    ) -> Certificate:
        """Behaviour. Raises EmbedderChangedError when the model turns out to be another one meanwhile."""
        pair, comparisons = evidence.pair, Notes(examined=notes.examined)
        sample.examine_doubted(comparisons, embedder, evidence, self._catalog.reports.newest(pair.name))
        if (batches := self._catalog.embedding.made(pair.name)) and sampling.size != 0:
            sample.examine_runtimes(comparisons, embedder, evidence, batches, sampling.seed)
        certificate = sample.examine_sample(comparisons, embedder, evidence, sampling)
        # Before a vector is blamed: a model that was exchanged while it embedded would blame every good one.
        if comparisons.has("foreign_vector"):
            self._model_of(pair)
        notes.findings += comparisons.findings
        notes.proven = True
        return certificate
