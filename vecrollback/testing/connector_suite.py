"""What every connector promises."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from vecrollback.errors import BadDocumentError, UsageError
from vecrollback.quality.doctor import ColumnNames, ForeignIndex, examine
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray
from vecrollback.testing import to_be_defined

COUNT, DIMENSION, WITHOUT_TEXT = 230, 24, 17


@cache
def vectors() -> FloatArray:
    unit_vectors = np.random.default_rng(3).standard_normal((COUNT, DIMENSION)).astype(np.float32)
    unit_vectors /= np.linalg.norm(unit_vectors, axis=1, keepdims=True)
    unit_vectors.flags.writeable = False
    return unit_vectors


def text(row: int) -> str | None:
    return None if row == WITHOUT_TEXT else f"the text of row {row}"


def rows() -> list[dict[str, Any]]:
    """Columns of every row but the vector; row 17 has no text."""
    table = []
    for row in range(COUNT):
        fields: dict[str, Any] = {"id": f"r{row}", "text": text(row), "model": f"m{row % 2}", "batch": f"b{row // 100}"}
        table.append({name: value for name, value in fields.items() if value is not None})
    return table


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class ConnectorConformance:
    """What every connector promises. A subclass's `make` writes the suite's rows to a place of its system.

    `rows()` and `vectors()` of this module are those rows: 230 of them, with vectors of 24 dimensions and unit length.

    Attributes:
        metric: What the place says its vectors are compared by; None where it cannot say.
        stored: How the place keeps a number.
        decoded_cosine: Least cosine between a vector and what comes back of it: 1 where the very vectors do.
        ordered: Rows come in the order in which they were written.
        text_field: Where the place keeps the text, with dots where it stands inside of another field.
        id_field: Where the place keeps the id, when that is none of the usual names.

    Example:
        A whole adopter, of a connector that is found through its entry point `mine`::

            import json
            from vecrollback.testing import ConnectorConformance
            from vecrollback.testing.connector_suite import rows, vectors

            class TestMine(ConnectorConformance):
                stored = "float64"

                @classmethod
                def make(cls, folder):
                    lines = [json.dumps(row | {"vector": v.tolist()}) for row, v in zip(rows(), vectors())]
                    (folder / "rows.mine").write_text("\\n".join(lines))
                    return f"mine:{folder / 'rows.mine'}", None  # None: there is no file of texts beside it
    """

    metric: ClassVar[Metric | None] = None
    stored: ClassVar[str] = "float32"
    decoded_cosine: ClassVar[float] = 1.0
    ordered: ClassVar[bool] = True
    text_field: ClassVar[str] = "text"
    id_field: ClassVar[str | None] = None

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:  # noqa: ARG003
        """Write the rows; returns the place and the file of texts beside it."""
        to_be_defined(cls, "make")

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path | None, Path]:
        folder = tmp_path_factory.mktemp("source")
        return *cls.make(folder), folder

    @pytest.fixture
    def source(self, made: tuple[str, Path | None, Path]) -> Iterator[ForeignIndex]:
        with ForeignIndex(made[0], texts=made[1], fields=ColumnNames(id=self.id_field)) as source:
            yield source

    def test_it_says_what_it_holds(self, source: ForeignIndex) -> None:
        assert (source.count, source.dimension) == (COUNT, DIMENSION)
        assert source.connector.metric == self.metric
        assert source.connector.stored == self.stored
        assert (source.id_field, source.text_field) == (self.id_field or "id", self.text_field)

    def test_blocks_are_every_row_once_in_order_and_again(self, source: ForeignIndex) -> None:
        for _ in range(2):
            blocks = list(source.blocks())
            assert [first for first, _ in blocks] == np.cumsum([0, *(len(part) for _, part in blocks)])[:-1].tolist()
            streamed = np.concatenate([part for _, part in blocks])
            assert streamed.dtype == np.float32
            np.testing.assert_array_equal(streamed, source.vectors(np.arange(COUNT)))

    def test_vector_text_and_id_of_a_row_belong_together(self, source: ForeignIndex) -> None:
        every = np.arange(COUNT)
        written = [int(id_[1:]) for id_ in source.ids(every)]
        assert sorted(written) == every.tolist()
        assert source.texts(every) == [text(row) for row in written]
        cosines = np.einsum("ij,ij->i", source.vectors(every), vectors()[written])
        cosines /= np.linalg.norm(source.vectors(every), axis=1)
        assert cosines.min() >= self.decoded_cosine - 1e-6
        if self.ordered:
            assert written == every.tolist()

    def test_rows_come_in_the_order_asked_for_also_twice(self, source: ForeignIndex) -> None:
        asked = np.array([COUNT - 1, 3, 3, 0, 111])
        every = np.arange(COUNT)
        np.testing.assert_array_equal(source.vectors(asked), source.vectors(every)[asked])
        ids, texts = source.ids(every), source.texts(every)
        assert source.ids(asked) == [ids[row] for row in asked]
        assert source.texts(asked) == [texts[row] for row in asked]
        assert source.vectors(np.empty(0, np.int64)).shape == (0, DIMENSION)
        assert source.texts(np.empty(0, np.int64)) == []

    def test_a_row_is_a_document_with_its_other_fields_as_metadata(self, source: ForeignIndex) -> None:
        records = [record for part in source.connector.scan(None, vectors=False) for record in part.records]
        assert len(records) == COUNT
        seen, refused = {}, []
        for row, record in enumerate(records):
            try:
                document = source.document_of(record, row)
                seen[document.id] = document
            except BadDocumentError:
                refused.append(source.id_of(record, row))
        assert refused == [f"r{WITHOUT_TEXT}"]
        for row in (0, WITHOUT_TEXT + 1, COUNT - 1):
            document = seen[f"r{row}"]
            assert document.text == text(row)
            assert document.metadata.items() >= {"model": f"m{row % 2}", "batch": f"b{row // 100}"}.items()

    def test_a_field_that_is_not_there_is_refused_with_those_that_are(
        self, made: tuple[str, Path | None, Path]
    ) -> None:
        with pytest.raises(UsageError) as refused:
            ForeignIndex(made[0], texts=made[1], fields=ColumnNames(text="nobody"))
        assert "'nobody'" in refused.value.message
        assert self.text_field.partition(".")[0] in refused.value.hint

    def test_a_model_that_made_none_of_the_vectors_is_a_fail(self, made: tuple[str, Path | None, Path]) -> None:
        found = examine(made[0], texts=made[1], model=f"hash:{DIMENSION}?seed=1", seed=1)
        assert found.verdict == "fail"
        assert found.finding("foreign_vector")

    def test_reading_changes_no_byte_of_it(self, made: tuple[str, Path | None, Path]) -> None:
        before = digests(made[2])
        with ForeignIndex(made[0], texts=made[1]) as source:
            list(source.blocks())
            list(source.connector.scan(None))
            source.vectors(np.arange(5))
        assert digests(made[2]) == before
