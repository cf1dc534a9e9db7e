"""Every public method of a store is documented in full, and its example runs on a real store and says what it says."""

from __future__ import annotations

import inspect
import pydoc
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.docstrings import arguments, described_arguments, run_examples, sections
from vecrollback import AsyncClient, Client, Document, Store, connect

METHODS = {name: member for name, member in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")}
DOORS = {name: member for name, member in inspect.getmembers(Store) if isinstance(member, property) and name[0] != "_"}
DOCUMENTED = {"connect": connect, **METHODS}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the class's own example."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        names: dict[str, Any] = {}
        run_examples(Store, names)
        names["store"].close()
    return folder / "notes"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_example_of_a_method_says_what_comes_of_it(
    name: str, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(template, tmp_path / "notes")
    monkeypatch.chdir(tmp_path)
    with connect("notes", actor="anna") as store:
        run_examples(DOCUMENTED[name], {"store": store, "Document": Document, "connect": connect})


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_method_tells_its_arguments_and_what_it_returns(name: str) -> None:
    assert described_arguments(DOCUMENTED[name]) == arguments(DOCUMENTED[name])
    assert ("Returns" in sections(DOCUMENTED[name])) == (
        inspect.signature(DOCUMENTED[name]).return_annotation != "None"
    )


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_method_of_a_client_tells_its_arguments(client: type) -> None:
    public = {name: member for name, member in vars(client).items() if inspect.isfunction(member) and name[0] != "_"}
    for name, method in public.items():
        assert described_arguments(method) == arguments(method), name
        assert ("Returns" in sections(method)) == (inspect.signature(method).return_annotation != "None"), name


def test_help_shows_every_method_and_every_attribute_with_a_sentence() -> None:
    shown = pydoc.plain(pydoc.render_doc(Store))
    for name, member in {**METHODS, **DOORS}.items():
        first = (inspect.getdoc(member) or "").splitlines()[0]
        assert first.endswith("."), name
        assert first in shown, name
    assert {
        "gates",
        "canaries",
        "incidents",
        "golden",
        "quality",
        "retention",
        "freezes",
        "approvals",
        "access",
    } <= DOORS.keys()
