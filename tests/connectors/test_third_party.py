"""Connectors are found by prefix or because they claim a place, the built-in ones like those of other packages."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.third_party import install, install_page
from vecrollback import connectors
from vecrollback.connectors import open_connector
from vecrollback.embedders import open_embedder
from vecrollback.errors import UsageError
from vecrollback.quality.doctor import ForeignIndex
from vecrollback.testing import ConnectorConformance
from vecrollback.testing.connector_suite import rows, vectors

MODEL = "hash:64?seed=1"


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The connector of the how-to page is installed; a place that it reads."""
    install_page("connector", tmp_path / "site", monkeypatch)
    texts = [f"note {n}: {n}a {n}b {n}c" for n in range(200)]
    place = tmp_path / "notes.vecl"
    made = zip(texts, open_embedder(MODEL).embed_documents(texts), strict=True)
    place.write_text(
        "".join(json.dumps({"id": f"n{n}", "text": t, "vector": v.tolist()}) + "\n" for n, (t, v) in enumerate(made))
    )
    return place


def test_a_place_of_another_packages_system_is_opened_by_prefix_and_by_claim(lines: Path) -> None:
    for place in (f"lines:{lines}", str(lines)):
        with ForeignIndex(place) as source:
            assert (source.count, source.dimension, source.place) == (200, 64, f"lines:{lines}")
            assert source.ids(np.array([7, 3])) == ["n7", "n3"]


def test_it_is_adopted_like_any_other(lines: Path, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        adopted = store.adopt(str(lines), model=MODEL)
        store.promote(adopted.pair)
        assert [hit.id for hit in store.search("note 7: 7a 7b 7c", k=1).hits] == ["n7"]


def test_it_is_among_the_forms_that_a_wrong_place_is_answered_with(lines: Path) -> None:
    with pytest.raises(UsageError, match="names no place") as refused:
        open_connector("nothing-known")
    assert all(form in refused.value.hint for form in ("vectors.npy", "postgresql://...#table", "lines:FILE"))
    with pytest.raises(UsageError, match="holds its own texts"):
        open_connector(str(lines), texts=Path("rows.jsonl"))


def test_one_that_cannot_be_loaded_is_named_and_hinders_no_built_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch, connectors={"gone": "no_such_module:Kind", "numpy": "no_such_module:Kind"})
    np.save(tmp_path / "vectors.npy", np.eye(3, dtype=np.float32))
    for place in (tmp_path / "vectors.npy", f"numpy:{tmp_path / 'vectors.npy'}"):
        open_connector(str(place)).close()
    with pytest.raises(UsageError, match=r"'gone' \(no_such_module:Kind\)"):
        open_connector("gone:somewhere")


def test_a_tree_that_was_never_installed_reads_all_that_an_installed_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    listed = project["entry-points"]["vecrollback.connectors"]
    assert listed == {name: f"vecrollback.connectors.{place}" for name, place in connectors._BUILT_IN.items()}
    monkeypatch.setattr(connectors, "entry_points_of", lambda _: {})
    for place in ("a.npy", "a.faiss", "a.parquet", "a.feather", "lancedb:a#t", "qdrant:a#c", "chroma:a#c"):
        with pytest.raises(UsageError, match=r"there is no|does not exist|does not hold a (meta.json|chroma.sqlite3)"):
            open_connector(place)


@pytest.mark.parametrize(
    "place",
    [
        "postgresql://u:secret@h/d",
        "postgres://u:secret@h/d",
        "postgresql:///d?user=u&password=secret",
        "postgresql://u@h/d?sslpassword=a@secret",
        "qdrant:here",
        "lancedb:#t",
    ],
)
def test_a_place_in_a_database_says_what_of_it_and_no_password_is_repeated(place: str) -> None:
    with pytest.raises(UsageError, match=r"names no (table|collection)") as refused:
        open_connector(place)
    assert "secret" not in str(refused.value) + refused.value.hint


@pytest.mark.parametrize("kind", ["qdrant", "chroma", "milvus", "elasticsearch"])
def test_a_server_that_does_not_answer_is_named_without_its_password(kind: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_connector(f"{kind}:http://u:secret@127.0.0.1:9#docs")
    assert "127.0.0.1:9" in str(refused.value)
    assert "secret" not in str(refused.value) + refused.value.hint


class TestLines(ConnectorConformance):
    stored = "float64"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def installed(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            install_page("connector", tmp_path_factory.mktemp("site"), patch)
            yield

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        place = folder / "rows.vecl"
        lines = [json.dumps(row | {"vector": one.tolist()}) for row, one in zip(rows(), vectors(), strict=True)]
        place.write_text("\n".join(lines) + "\n")
        return f"lines:{place}", None
