"""Every public method of a store is documented in full, and its example runs on a real store and says what it says."""

from __future__ import annotations

import doctest
import inspect
import pydoc
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vecrollback import AsyncClient, Client, Document, Store, connect
from vecrollback.store import store as module

METHODS = {
    name: member for name, member in vars(Store).items() if inspect.isfunction(member) and not name.startswith("_")
}
DOORS = {name: member for name, member in vars(Store).items() if isinstance(member, property)}
DOCUMENTED = {"connect": connect, **METHODS}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the class's own example."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        names: dict[str, Any] = {}
        run(Store, names)
        names["store"].close()
    return folder / "notes"


def run(documented: Any, names: dict[str, Any]) -> None:
    """Run the examples in a docstring; `names` is what they know, and what they define."""
    text = inspect.getdoc(documented) or ""
    test = doctest.DocTestParser().get_doctest(text, names, documented.__name__, module.__file__, 0)
    test.globs = names
    assert test.examples, f"{documented.__name__} has no example"
    said: list[str] = []
    failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append, clear_globs=False).failed
    assert not failed, "".join(said)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_example_of_a_method_says_what_comes_of_it(
    name: str, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(template, tmp_path / "notes")
    monkeypatch.chdir(tmp_path)
    with connect("notes", actor="anna") as store:
        run(DOCUMENTED[name], {"store": store, "Document": Document, "connect": connect})


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_method_tells_its_arguments_and_what_it_returns(name: str) -> None:
    sections = parsed(DOCUMENTED[name])
    assert described(sections) == parameters(DOCUMENTED[name])
    assert ("Returns" in sections) == (inspect.signature(DOCUMENTED[name]).return_annotation != "None")


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_method_of_a_client_tells_its_arguments(client: type) -> None:
    public = {name: member for name, member in vars(client).items() if inspect.isfunction(member) and name[0] != "_"}
    for name, method in public.items():
        assert described(parsed(method)) == parameters(method), name
        assert ("Returns" in parsed(method)) == (inspect.signature(method).return_annotation != "None"), name


def test_help_shows_every_method_and_every_attribute_with_a_sentence() -> None:
    shown = pydoc.plain(pydoc.render_doc(Store))
    for name, member in {**METHODS, **DOORS}.items():
        first = (inspect.getdoc(member) or "").splitlines()[0]
        assert first.endswith("."), name
        assert first in shown, name
    assert {"gates", "canaries", "incidents", "golden", "quality", "retention", "authority", "access"} <= DOORS.keys()


def parsed(documented: Callable[..., Any]) -> dict[str, str]:
    """The sections of a docstring in Google's style: heading -> what stands below it."""
    parts = re.split(r"^(Args|Returns|Raises|Example):\n", inspect.getdoc(documented) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def described(sections: dict[str, str]) -> list[str]:
    return re.findall(r"^    \*{0,2}(\w+): \S", sections.get("Args", ""), flags=re.MULTILINE)


def parameters(documented: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(documented).parameters if name != "self"]
