"""What a person sees who types a name: `repr` of what is open, tables in a notebook, frames of pandas and polars.

Covers records.tables.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from vecrollback import AsyncStore, Client, Document, Result, Store, connect
from vecrollback.errors import MissingDependencyError

ROOT = Path(__file__).parents[2]
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with connect(tmp_path / "store", create=True, embedder="hash:64") as store:
        store.upsert(
            [
                Document("a", f"quinces {EVIL}", {"year": 2024, "mixed": 1, "id": "of the metadata"}),
                Document("b", "quinces and pears", {"mixed": "one", "tags": ["x", "y"], "whole": 2**53 + 1}),
                Document("c", "quinces", {}),
            ],
            visible=True,
        )
        yield store


@pytest.fixture
def result(store: Store) -> Result:
    return store.search("quinces", k=3, include_vectors=True)


def cells(html: str) -> list[list[str]]:
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)][1:]


def test_a_report_is_a_table_of_its_findings(store: Store, tmp_path: Path) -> None:
    sound = store.check()
    assert cells(sound._repr_html_()) == []
    assert "<p>pass: hash-64@1" in sound._repr_html_()
    assert "vectors are foreign" in sound._repr_html_()
    [artefact] = (tmp_path / "store" / "artifacts").glob("*.index")
    artefact.chmod(0o644)
    artefact.write_bytes(artefact.read_bytes()[:-1] + b"\0\0")
    damaged = store.check()
    rows = cells(damaged._repr_html_())
    assert len(rows) == len(damaged.findings) > 0
    assert rows[0][:2] == [damaged.findings[0].severity, damaged.findings[0].kind]
    assert f"<p>{damaged.verdict}: " in damaged._repr_html_()


def test_a_situation_is_a_table_of_its_lines(store: Store) -> None:
    seen = store.situation()
    rows = cells(seen._repr_html_())
    assert [row[1] for row in rows] == [line.name for line in seen.lines]
    assert seen.verdict in seen._repr_html_()


def test_nothing_that_documents_say_is_markup(result: Result) -> None:
    assert len(cells(result._repr_html_())) == 3
    assert EVIL not in result._repr_html_()
    assert "&lt;script&gt;alert(1)" in result._repr_html_()


def test_hits_as_a_frame_of_pandas(result: Result) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install 'vecrollback[notebook]'")
    frame = result.to_pandas()
    assert list(frame["id"]) == [hit.id for hit in result.hits]
    assert list(frame["score"]) == [hit.score for hit in result.hits]
    row = frame.set_index("id").loc["a"]
    assert (row["metadata.year"], row["metadata.id"]) == (2024, "of the metadata")
    row = frame.set_index("id").loc["b"]
    assert (row["metadata.mixed"], row["metadata.tags"], len(row["vector"])) == ("one", ["x", "y"], 64)
    assert pandas.isna(frame.set_index("id").loc["c"]["metadata.year"])
    assert list(Result("", 0, 0, 0, {}, []).to_pandas().columns)[:3] == ["id", "score", "text"]


def test_hits_as_a_frame_of_polars(result: Result) -> None:
    pytest.importorskip("polars", reason="needs polars: pip install 'vecrollback[notebook]'")
    frame = result.to_polars()
    rows = {row["id"]: row for row in frame.to_dicts()}
    assert list(rows) == [hit.id for hit in result.hits]
    assert (rows["a"]["metadata.year"], rows["c"]["metadata.year"]) == (2024, None)
    assert [rows[name]["metadata.mixed"] for name in "abc"] == [1, "one", None]  # values of two types stay two types
    assert rows["b"]["metadata.tags"] == ["x", "y"]
    assert rows["b"]["metadata.whole"] == 2**53 + 1
    assert frame["vector"].list.len().to_list() == [64, 64, 64]
    assert Result("", 0, 0, 0, {}, []).to_polars().height == 0


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_package_that_is_not_there_is_named_with_its_cure(
    result: Result, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=package) as caught:
        getattr(result, f"to_{package}")()
    assert "vecrollback[notebook]" in caught.value.hint


def test_everything_that_is_open_says_what_it_is(store: Store) -> None:
    path = store.uri
    job = store.reembed("hash:32", name="two")
    job.wait()
    with store.searcher() as searcher:
        shown = {repr(searcher), repr(store), repr(AsyncStore(store)), repr(job)}
    assert shown == {
        f"Searcher({path!r}, alias='live')",
        f"Store({path!r})",
        f"AsyncStore(Store({path!r}))",
        f"Job({job.id!r}, reembed of two, ended)",
    }
    store.close()
    assert repr(store) == f"Store({path!r})"


def test_no_address_shows_a_password() -> None:
    with Client("http://anna:geheim@localhost:1/") as client:
        assert repr(client) == "Client('http://localhost:1')"
    assert repr(vecrollback.AsyncClient("http://anna:geheim@localhost:1")) == "AsyncClient('http://localhost:1')"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("langchain", "VecrollbackVectorStore"),
        ("langchain", "PairEmbeddings"),
        ("langgraph", "VecrollbackStore"),
        ("llama_index", "VecrollbackVectorStore"),
        ("haystack", "VecrollbackDocumentStore"),
    ],
)
def test_an_adapter_says_what_it_stands_on(store: Store, module: str, name: str) -> None:
    try:
        adapters: Any = importlib.import_module(f"vecrollback.integrations.{module}")
    except MissingDependencyError as error:
        pytest.skip(str(error))
    adapter = getattr(adapters, name)(store)
    assert repr(adapter).startswith(f"{name}(")
    if name != "VecrollbackDocumentStore":
        assert repr(store) in repr(adapter)
    else:
        assert adapter.backend and repr(store) in repr(adapter)


def test_the_notebook_of_the_page_runs_cell_by_cell(tmp_path: Path) -> None:
    """As Jupyter runs it: cells in one process, a running event loop in the last, what ends a cell is shown."""
    pytest.importorskip("pandas", reason="needs pandas: pip install 'vecrollback[notebook]'")
    page = (ROOT / "docs" / "how-to" / "notebooks.md").read_text()
    found = re.findall(r"^```py\n(.*?)^```", page, re.M | re.S)
    assert len(found) >= 5
    script = tmp_path / "kernel.py"
    script.write_text(_KERNEL)
    done = subprocess.run(
        [sys.executable, str(script), *found],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("<table>") >= 3, done.stdout


_KERNEL = '''
"""What Jupyter does with cells: one namespace, `await` at the top, the last expression shown by `_repr_html_`."""
import ast, asyncio, sys

async def main():
    names = {}
    for cell in sys.argv[1:]:
        tree = ast.parse(cell)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        for body, mode in ((tree, "exec"), (ast.Expression(last.value) if last else None, "eval")):
            if body is None:
                continue
            value = eval(compile(body, "cell", mode, flags), names)
            if asyncio.iscoroutine(value):
                value = await value
            if mode == "eval" and value is not None:
                print(value._repr_html_() if hasattr(value, "_repr_html_") else repr(value))

asyncio.run(main())
'''
