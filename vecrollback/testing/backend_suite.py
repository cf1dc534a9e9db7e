"""What every database promises that holds a pair."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from vecrollback.errors import (
    CorruptArtifactError,
    FailedError,
    HeadMovedError,
    IndexSpecError,
    PairStateError,
    UsageError,
)
from vecrollback.indexes import exact_search
from vecrollback.pairs.backend import Place, RowFinder, VectorBackend, open_backend, row_schema
from vecrollback.pairs.backend_index import BackendIndex
from vecrollback.pairs.backend_vectors import BackendVectors, batch_name
from vecrollback.pairs.vectors import KEY_COLUMNS, ReusableVectors, matrix, schema
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray, Positions
from vecrollback.records.bridges import BRIDGED
from vecrollback.testing import to_be_defined

DIMENSION, DOCUMENTS = 24, 300
OWNER = "store/pair"


@cache
def vectors(metric: Metric) -> FloatArray:
    """One vector a document; of unit length for cosine, of varied length for the others."""
    random = np.random.default_rng(3)
    rows = random.standard_normal((DOCUMENTS, DIMENSION))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if metric != "cosine":
        rows *= random.uniform(0.5, 2, (DOCUMENTS, 1))
    return rows.astype(np.float32)


def batch(version: int, first: int, end: int, metric: Metric = "cosine", *, seq: int | None = None) -> pa.Table:
    """The documents from `first` to before `end` as the rows of batch `version`; by default seq is their number + 1."""
    numbers = range(first, end)
    flat = pa.array(vectors(metric)[first:end].ravel())
    columns = {
        "doc_id": [f"dök '{n}\"" for n in numbers],
        "seq": [seq or n + 1 for n in numbers],
        "batch": [version] * len(numbers),
        "ordinal": [0] * len(numbers),
        "start": [0] * len(numbers),
        "end": [n % 7 for n in numbers],
        "content_hash": [bytes([n % 256] * 16) for n in numbers],
        "fingerprint": ["f" * 16] * len(numbers),
        "vector": pa.FixedSizeListArray.from_arrays(flat, DIMENSION),
    }
    return pa.table(columns, schema=schema(DIMENSION))


def common(truth: Positions, answer: Positions) -> int:
    """How many of the true neighbours were found."""
    return sum(len(set(a) & set(b) - {-1}) for a, b in zip(truth.tolist(), answer.tolist(), strict=True))


class BackendConformance:
    """What every database promises that holds a pair.

    Attributes:
        specs: Indexes to try beside "exact", each finding at least nine in ten of the true neighbours.
        metrics: Those it knows.
        many: How many times 300 rows it takes at once, for a database that is slow to write.

    Example:
        A whole adopter, of a database that is found through its entry point `mine`::

            import pytest
            from vecrollback.testing import BackendConformance

            class TestMine(BackendConformance):
                specs = ("hnsw",)

                @pytest.fixture
                def place(self, tmp_path):
                    return f"mine:{tmp_path}#pair"
    """

    specs: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[tuple[Metric, ...]] = ("cosine", "dot", "l2")
    many: ClassVar[int] = 30

    @pytest.fixture
    def place(self) -> str:
        """A collection that nobody used yet, as `KIND:ADDRESS#NAME`."""
        to_be_defined(type(self), "place")

    def visible(self, place: str) -> list[str] | None:  # noqa: ARG002, for those who overwrite it
        """Documents that a client of another program sees, one for each of their rows; None: there is no such mark."""
        return None

    @pytest.fixture
    def backend(self, place: str) -> VectorBackend:
        return open_backend(place)

    @pytest.fixture
    def table(self, backend: VectorBackend) -> BackendVectors:
        """An empty collection as a pair has it."""
        table = BackendVectors(backend, DIMENSION, "cosine", OWNER)
        table.create()
        return table

    def filled(self, backend: VectorBackend, metric: Metric) -> BackendVectors:
        """All documents, in three batches."""
        table = BackendVectors(backend, DIMENSION, metric, OWNER)
        table.create()
        for version, (first, end) in enumerate(((0, 100), (100, 101), (101, DOCUMENTS)), start=2):
            table.append(batch(version, first, end, metric), known=version - 1)
        return table

    # -- the collection -----------------------------------------------------------------------------------------------

    def test_a_collection_that_nobody_made_has_no_owner(self, backend: VectorBackend) -> None:
        assert backend.owner() is None
        backend.drop()

    def test_a_new_collection_is_empty_and_knows_its_owner(self, backend: VectorBackend, table: BackendVectors) -> None:
        assert (backend.owner(), backend.count(), table.rows(1)) == (OWNER, 0, 0)
        assert table.keys(1).num_rows == 0
        assert table.vectors(1).shape == (0, DIMENSION)

    def test_create_replaces_what_a_dead_build_of_the_same_pair_left(
        self, backend: VectorBackend, table: BackendVectors
    ) -> None:
        table.append(batch(2, 0, 5), known=1)
        table.create()
        assert (backend.count(), backend.owner()) == (0, OWNER)

    def test_create_leaves_the_collection_of_another_pair_alone(
        self, backend: VectorBackend, table: BackendVectors
    ) -> None:
        table.append(batch(2, 0, 5), known=1)
        with pytest.raises(UsageError, match="belongs to"):
            backend.create("another/pair", DIMENSION, "cosine")
        assert (backend.count(), backend.owner()) == (5, OWNER)

    def test_a_dropped_collection_is_gone_and_its_name_is_free(
        self, backend: VectorBackend, table: BackendVectors
    ) -> None:
        table.append(batch(2, 0, 5), known=1)
        backend.drop()
        backend.drop()
        assert backend.owner() is None
        with pytest.raises((CorruptArtifactError, FailedError)):
            table.append(batch(2, 0, 5), known=1)
        backend.create("another/pair", DIMENSION, "dot")
        assert (backend.owner(), backend.count()) == ("another/pair", 0)

    # -- rows ---------------------------------------------------------------------------------------------------------

    def test_rows_come_back_as_they_were_written(self, backend: VectorBackend) -> None:
        table = self.filled(backend, "cosine")
        written = pa.concat_tables([batch(2, 0, 100), batch(3, 100, 101), batch(4, 101, DOCUMENTS)])
        assert table.keys(4).equals(written.select(KEY_COLUMNS))
        assert table.fingerprints(4).to_pylist() == ["f" * 16] * DOCUMENTS
        assert np.array_equal(table.vectors(4), vectors("cosine"))
        assert [table.rows(version) for version in (1, 2, 3, 4)] == [0, 100, 101, DOCUMENTS]
        assert table.keys(3).num_rows == 101  # an older version is what it was
        assert np.array_equal(table.vectors(4, after=250), vectors("cosine")[250:])
        assert table.keys(4, after=DOCUMENTS).num_rows == 0

    def test_a_scan_gives_the_columns_and_rows_asked_for_in_order(self, backend: VectorBackend) -> None:
        self.filled(backend, "cosine")
        parts = list(backend.scan(["row", "doc_id", "vector"], 90, 120))
        assert parts[0].schema.names == ["row", "doc_id", "vector"]
        table = pa.Table.from_batches(parts)
        assert table["row"].to_pylist() == list(range(90, 120))
        assert table["vector"].type == row_schema(DIMENSION).field("vector").type
        assert list(backend.scan(["row"], 7, 7)) == []

    def test_rows_are_read_by_number_in_any_order(self, backend: VectorBackend) -> None:
        table = self.filled(backend, "cosine")
        wanted = np.array([250, 3, 3, 100], np.int64)
        rows = table.read(4, wanted)
        assert np.array_equal(rows.vectors, vectors("cosine")[wanted])
        assert backend.take(np.array([5, 100_000], np.int64), ["row"])["row"].to_pylist() == [5]
        assert backend.take(np.empty(0, np.int64), ["vector"]).num_rows == 0

    def test_rows_that_are_looked_up_are_those_that_reading_all_finds(self, backend: VectorBackend) -> None:
        if not isinstance(backend, RowFinder):
            pytest.skip("it finds no rows by what they hold: all are read")
        table = self.filled(backend, "cosine")
        again, bridged = batch(5, 7, 9, seq=900), batch(6, 20, 21, seq=901)
        bridge = pa.array([f"{BRIDGED}{'a' * 16}"])
        bridged = bridged.set_column(7, schema(DIMENSION).field("fingerprint"), bridge)
        table.append(again, known=4)
        table.append(bridged, known=5)
        every = table.keys(6)
        for column in ("doc_id", "content_hash"):
            wanted = every[column].to_pylist()[5:9]
            rows = backend.matching(column, wanted, ["row", *KEY_COLUMNS], DOCUMENTS + 2)
            is_wanted = pc.is_in(every[column], value_set=pa.array(wanted, every[column].type))
            assert rows.select(KEY_COLUMNS).equals(every.filter(is_wanted)), column
            assert rows["row"].to_pylist() == np.flatnonzero(np.asarray(is_wanted)).tolist(), column
            assert backend.matching(column, wanted, ["row"], 6)["row"].to_pylist() == [5], "below 6 alone"
            assert backend.matching(column, [], ["row"], DOCUMENTS).num_rows == 0, column
        assert table.made_after(6, 299).to_pydict() == {
            "doc_id": [every["doc_id"][n].as_py() for n in (299, 300, 301, 302)],
            "seq": [300, 900, 900, 901],
        }
        assert table.made_after(4, 300).num_rows == 0
        names = pa.chunked_array([["nobody", every["doc_id"][3].as_py()]])
        assert table.have_rows(6, names).to_pylist() == [False, True]
        hashes = [every["content_hash"][n].as_py() for n in (7, 20, 30)]
        looked_up = {one: ReusableVectors(table, 6).find([one])[one] for one in hashes}
        read = ReusableVectors(table, 6).find([*hashes, *every["content_hash"].to_pylist()])
        for one in hashes:  # the newest row of a text, and none that came over a bridge
            assert np.array_equal(looked_up[one].vectors, read[one].vectors)
            assert np.array_equal(looked_up[one].spans, read[one].spans)

    def test_many_rows_at_once(self, backend: VectorBackend) -> None:
        table = BackendVectors(backend, DIMENSION, "cosine", OWNER)
        table.create()
        many = pa.concat_tables([batch(2, 0, DOCUMENTS)] * self.many)
        table.append(many, known=1)
        assert table.rows(2) == self.many * DOCUMENTS
        assert np.array_equal(table.vectors(2)[-DOCUMENTS:], vectors("cosine"))
        assert table.keys(2).equals(many.select(KEY_COLUMNS).combine_chunks())
        even = np.arange(0, self.many * DOCUMENTS, 2, dtype=np.int64)
        assert backend.take(even, ["row"])["row"].to_pylist() == even.tolist()

    def test_a_second_writer_that_lost_its_lock_does_not_replace_rows(
        self, backend: VectorBackend, table: BackendVectors
    ) -> None:
        table.append(batch(2, 0, 5), known=1)
        late = batch(2, 10, 15).add_column(0, pa.field("row", pa.int64(), nullable=False), pa.array(range(5)))
        with pytest.raises(HeadMovedError):
            backend.write(late.cast(row_schema(DIMENSION)))
        assert table.keys(2).equals(batch(2, 0, 5).select(KEY_COLUMNS))

    def test_what_was_removed_from_the_end_is_as_if_never_written(
        self, backend: VectorBackend, table: BackendVectors
    ) -> None:
        table.append(batch(2, 0, 20), known=1)
        table.append(batch(3, 5, 30, seq=900), known=2)
        backend.truncate(20)
        assert (backend.count(), table.rows(2)) == (20, 20)
        commit = table.append(batch(3, 40, 45), known=2)
        assert commit.version == 3
        assert table.keys(3).slice(20).equals(batch(3, 40, 45).select(KEY_COLUMNS))

    # -- digests and recovery -----------------------------------------------------------------------------------------

    def test_a_batch_has_the_digest_that_its_commit_said(self, backend: VectorBackend) -> None:
        table = BackendVectors(backend, DIMENSION, "cosine", OWNER)
        digests = dict(table.create().files)
        for version, (first, end) in enumerate(((0, 120), (120, 300)), start=2):
            digests |= table.append(batch(version, first, end), known=version - 1).files
        table.require_sound(3, digests)
        assert table.files.sound(3, digests)
        assert table.files.names() == set(digests) == table.files.files(3)
        assert table.sound_rows(3, np.array([0, 299]), digests).all()
        wrong = digests | {batch_name(2): "0" * 64}
        with pytest.raises(CorruptArtifactError, match="batch-0000000002"):
            table.require_sound(3, wrong)
        assert not table.files.sound(3, wrong)
        assert table.sound_rows(3, np.array([0, 299]), wrong).tolist() == [False, True]

    def test_rows_that_nobody_acknowledged_are_kept_whole_or_removed(self, backend: VectorBackend) -> None:
        table = BackendVectors(backend, DIMENSION, "cosine", OWNER)
        digests = dict(table.create().files)
        digests |= table.append(batch(2, 0, 50), known=1).files
        lost = table.append(batch(3, 50, 80), known=2).files  # its writer died before the catalog heard of it
        commit = BackendVectors(backend, DIMENSION, "cosine", OWNER).recover(2, digests)
        if backend.atomic:
            assert (commit.version, dict(commit.files)) == (3, dict(lost))
        else:
            assert (commit.version, dict(commit.files), backend.count()) == (2, {}, 50)
        assert table.append(batch(commit.version + 1, 90, 95), known=commit.version).version == commit.version + 1

    def test_a_restore_to_an_older_version_loses_no_acknowledged_batch(self, backend: VectorBackend) -> None:
        table = BackendVectors(backend, DIMENSION, "cosine", OWNER)
        digests = dict(table.create().files)
        for version in (2, 3, 4):
            digests |= table.append(batch(version, 10 * version, 10 * version + 10), known=version - 1).files
        assert table.recover(2, digests).version == 4
        assert table.rows(4) == 30

    def test_a_copy_of_the_store_only_reads(self, backend: VectorBackend) -> None:
        self.filled(backend, "cosine")
        other = BackendVectors(backend, DIMENSION, "cosine", "copy/pair")
        assert other.rows(4) == DOCUMENTS
        for write in (
            lambda: other.append(batch(5, 0, 1), known=4),
            lambda: other.recover(4, {}),
            lambda: other.hide({"a": 1}),
        ):
            with pytest.raises(PairStateError, match="belongs to another store"):
                write()
        assert backend.count() == DOCUMENTS

    # -- search -------------------------------------------------------------------------------------------------------

    def test_search_gives_scores_and_row_numbers_for_every_metric(self, backend: VectorBackend) -> None:
        for metric in self.metrics:
            self.filled(backend, metric)
            queries = vectors(metric)[::60] + 0.01
            truth = exact_search(vectors(metric), queries, 10, metric)
            answer = backend.search(queries, 10, "exact", DOCUMENTS)
            assert np.array_equal(answer.positions, truth.positions), metric
            assert np.allclose(answer.scores, truth.scores, atol=1e-4), metric
            backend.drop()

    def test_every_index_finds_what_exact_search_finds(self, backend: VectorBackend) -> None:
        for metric in self.metrics:
            for spec in self.specs:
                self.filled(backend, metric)
                backend.seal(spec)
                backend.seal(spec)  # a second time there is nothing to do
                queries = vectors(metric)[::10]
                truth = exact_search(vectors(metric), queries, 10, metric)
                answer = backend.search(queries, 10, spec, DOCUMENTS)
                shared = common(truth.positions, answer.positions)
                assert shared >= 0.9 * truth.positions.size, (metric, spec)
                assert np.all(np.diff(answer.scores, axis=1) <= 1e-6), (metric, spec)
                backend.drop()

    def test_search_sees_rows_below_a_number_alone(self, backend: VectorBackend) -> None:
        self.filled(backend, "cosine")
        for spec in ("exact", *self.specs):
            backend.seal(spec)
            answer = backend.search(vectors("cosine")[200:203], 5, spec, 150)
            assert 0 <= answer.positions.min() <= answer.positions.max() < 150, spec

    def test_search_among_rows_is_exact(self, backend: VectorBackend) -> None:
        self.filled(backend, "cosine")
        among = np.arange(3, DOCUMENTS, 11, dtype=np.int64)
        queries = vectors("cosine")[:4]
        truth = exact_search(vectors("cosine")[among], queries, 5, "cosine")
        answer = backend.search(queries, 5, "exact", DOCUMENTS, among)
        assert np.array_equal(answer.positions, among[truth.positions])
        empty = backend.search(queries, 5, "exact", DOCUMENTS, np.empty(0, np.int64))
        assert np.all(empty.positions == -1)

    def test_more_than_there_are_is_padded(self, backend: VectorBackend, table: BackendVectors) -> None:
        nothing = backend.search(vectors("cosine")[:2], 4, "exact", 100)
        assert np.all(nothing.positions == -1) and np.all(np.isneginf(nothing.scores))
        table.append(batch(2, 0, 3), known=1)
        answer = backend.search(vectors("cosine")[:1], 5, "exact", 100)
        assert sorted(answer.positions[0].tolist()) == [-1, -1, 0, 1, 2]
        assert answer.positions[0, 0] == 0

    def test_rows_written_after_the_index_was_built_are_found(self, backend: VectorBackend) -> None:
        for spec in self.specs:
            table = BackendVectors(backend, DIMENSION, "cosine", OWNER)
            table.create()
            table.append(batch(2, 0, 200), known=1)
            backend.seal(spec)
            table.append(batch(3, 200, DOCUMENTS), known=2)
            answer = backend.search(vectors("cosine")[200:DOCUMENTS:9], 1, spec, DOCUMENTS)
            assert np.mean(answer.positions[:, 0] == np.arange(200, DOCUMENTS, 9)) >= 0.9, spec
            backend.drop()

    def test_an_unknown_index_is_refused_with_the_known_ones(self, backend: VectorBackend) -> None:
        assert backend.specs("auto")[-1] == "exact"
        for spec in ("nothing", "exact:m=1", "hnsw:colour=3"):
            with pytest.raises(IndexSpecError, match="not a valid index"):
                backend.specs(spec)

    def test_masks_hide_positions_and_recall_does_not_fall(self, backend: VectorBackend) -> None:
        self.filled(backend, "cosine")
        queries = vectors("cosine")[::15]
        for spec in ("exact", *self.specs):
            backend.seal(spec)
            numbers = np.setdiff1d(np.arange(250, dtype=np.int64), np.arange(0, 250, 9))  # some rows never counted
            index = BackendIndex(backend, spec, numbers, DIMENSION, "cosine", 250)
            assert np.array_equal(index.reconstruct(np.array([4, 1, 4])), vectors("cosine")[numbers[[4, 1, 4]]])
            for share in (1.0, 0.5, 0.1, 0.004, 0.0):
                mask = np.zeros(index.size, np.bool_)
                mask[np.random.default_rng(1).permutation(index.size)[: round(share * index.size)]] = True
                truth = exact_search(vectors("cosine")[numbers], queries, 10, "cosine", mask)
                answer = index.search(queries, 10, mask)
                assert np.all(mask[answer.positions[answer.positions >= 0]]), (spec, share)
                assert np.array_equal(answer.positions >= 0, truth.positions >= 0), (spec, share)
                shared = common(truth.positions, answer.positions)
                assert shared >= 0.9 * np.count_nonzero(truth.positions >= 0), (spec, share)
            with pytest.raises(UsageError, match="mask"):
                index.search(queries, 1, np.ones(3, np.bool_))
            with pytest.raises(UsageError, match="queries"):
                index.search(queries[:, :3], 1)

    def test_many_threads_search_while_rows_are_written(self, backend: VectorBackend) -> None:
        table = self.filled(backend, "cosine")
        spec = ("exact", *self.specs)[-1]
        backend.seal(spec)
        queries = vectors("cosine")[:50]

        def ask(at: int) -> int:
            return int(backend.search(queries[at : at + 1], 1, spec, DOCUMENTS).positions[0, 0])

        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(ask, list(range(50)) * 2)
            for version in range(5, 8):
                table.append(batch(version, 0, 10, seq=1000 + version), known=version - 1)
            assert np.mean([answer == at % 50 for at, answer in enumerate(answers)]) >= 0.9
        assert table.rows(7) == DOCUMENTS + 30

    def test_other_clients_see_the_newest_version_alone_and_nothing_deleted(
        self, place: str, backend: VectorBackend, table: BackendVectors
    ) -> None:
        if self.visible(place) is None:
            pytest.skip("rows are not hidden from other clients")
        name = [f"dök '{n}\"" for n in range(9)]
        table.append(batch(2, 0, 6), known=1)
        assert sorted(self.visible(place) or ()) == name[:6]
        table.append(batch(3, 4, 8, seq=50), known=2)
        assert sorted(self.visible(place) or ()) == name[:8], "no document twice"
        table.hide({name[0]: 40, name[4]: 60, name[5]: 45, "never": 70})
        table.hide({name[0]: 40, name[4]: 60, name[5]: 45, "never": 70})
        kept = [name[1], name[2], name[3], name[5], name[6], name[7]]
        assert sorted(self.visible(place) or ()) == kept, "a row written after the delete stays"
        backend.truncate(6)
        table.hide({name[0]: 40})
        assert sorted(self.visible(place) or ()) == name[1:6], "what the removed rows hid is shown again"

    # -- places -------------------------------------------------------------------------------------------------------

    def test_a_place_is_shown_without_secrets(self, place: str, backend: VectorBackend) -> None:
        assert backend.place == Place.parse(place).shown

    def test_vectors_come_back_bit_by_bit(self, backend: VectorBackend, table: BackendVectors) -> None:
        rows = batch(2, 0, 4)
        odd = np.tile(np.array([1e-38, -0.0, 1e15, 1 / 3], np.float32), (4, DIMENSION // 4))
        column = pa.FixedSizeListArray.from_arrays(pa.array(odd.ravel()), DIMENSION)
        table.append(rows.set_column(8, schema(DIMENSION).field("vector"), column), known=1)
        assert table.vectors(2).tobytes() == odd.tobytes()
        assert matrix(backend.take(np.array([1]), ["vector"])["vector"], DIMENSION).tobytes() == odd[:1].tobytes()
