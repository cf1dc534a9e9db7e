"""Builds the API reference from docstrings with pdoc, and names every reference in them that leads nowhere.

    python scripts/build_reference.py build/docs

Needs no network. Exit code 1: the pages were written, but a reference is broken; each is named on standard error.
"""

from __future__ import annotations

import argparse
import builtins
import importlib
import inspect
import re
import sys
import typing
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pdoc
import pdoc.doc
import pdoc.render

# What a user or an author of an extension imports. The store's attributes bring their own modules along.
_PAGES = (
    "vecrollback",
    "vecrollback.records",
    "vecrollback.errors",
    "vecrollback.client",
    "vecrollback.embedders",
    "vecrollback.embedders.base",
    "vecrollback.embedders.spec",
    "vecrollback.indexes",
    "vecrollback.connectors",
    "vecrollback.reembedding.engines",
    "vecrollback.reembedding.jobs",
    "vecrollback.testing",
)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_DOTTED = re.compile(r"^vecrollback(\.(?!toml$)\w+)+$")  # vecrollback.toml is a file
_MEMBER = re.compile(r"^[A-Z]\w*(\.\w+)+$")
_RAISES = re.compile(r"^Raises:\n((?:[ \t]+.*\n?|\n)+)", re.MULTILINE)
_RAISED = re.compile(r"^ {4}(\w+):", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pages go")
    folder: Path = parser.parse_args().folder
    modules = modules_to_document()
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        pdoc.render.configure(docformat="google", footer_text="vecrollback", show_source=False)
        pdoc.pdoc(*modules, output_directory=folder)
        broken = [*_broken_in_docstrings(modules), *broken_links(folder)]
    broken += sorted({f"pdoc: {complaint.message}" for complaint in complaints if _is_pdocs(complaint)})
    for line in broken:
        print(f"warning: {line}", file=sys.stderr)
    print(f"{len(modules)} modules, {len(broken)} broken references: {folder / 'vecrollback.html'}")
    return 1 if broken else 0


def _is_pdocs(complaint: warnings.WarningMessage) -> bool:
    # The constructor of a NamedTuple belongs to the standard library, so pdoc looks for its types there.
    of_a_tuple = re.search(r"^Error parsing type annotation .*\.__init__\.", str(complaint.message))
    return "pdoc" in Path(complaint.filename).parts and not of_a_tuple


def modules_to_document() -> list[str]:
    pages = {name: importlib.import_module(name) for name in _PAGES}
    for page in pages.values():
        for name in getattr(page, "__all__", ()):
            # pdoc reads the module's dictionary, which names imported at their first use are not in yet.
            setattr(page, name, getattr(page, name))
    _adopt_methods(pages["vecrollback"].Store)
    attributes = [hint for hint in _hints(pages["vecrollback"].Store).values() if inspect.isclass(hint)]
    owned = {hint.__module__ for hint in attributes if hint.__module__.startswith("vecrollback.")}
    # pdoc adds the modules inside a package by itself where the package lists no public names.
    inside = tuple(f"{name}." for name, page in pages.items() if not hasattr(page, "__all__"))
    return list(dict.fromkeys([*_PAGES, *(name for name in sorted(owned) if not name.startswith(inside))]))


def _adopt_methods(owner: type) -> None:
    """Have a class document the methods that it is put together from as its own: that is how they are called."""
    for part in owner.__mro__[1:-1]:
        for name, member in vars(part).items():
            if not name.startswith("_") and inspect.isfunction(member) and name not in vars(owner):
                setattr(owner, name, member)


def _hints(owner: type) -> dict[str, object]:
    return {name: hint for name, hint in typing.get_type_hints(owner).items() if not name.startswith("_")}


def _broken_in_docstrings(modules: list[str]) -> Iterator[str]:
    known = package_classes()
    for name in modules:
        page = pdoc.doc.Module(importlib.import_module(name))
        for documented in _walk(page):
            for reference in references(documented.docstring):
                if not resolves(reference, page.obj, known):
                    yield f"{documented.fullname}: `{reference}` names nothing"


def _walk(documented: pdoc.doc.Doc[typing.Any]) -> Iterator[pdoc.doc.Doc[typing.Any]]:
    yield documented
    if isinstance(documented, pdoc.doc.Namespace):
        for member in documented.own_members if isinstance(documented, pdoc.doc.Class) else documented.members.values():
            if not member.name.startswith("_") and not isinstance(member, pdoc.doc.Module):
                yield from _walk(member)


def references(docstring: str) -> Iterator[str]:
    yield from (code for code in _CODE.findall(docstring) if _DOTTED.match(code) or _MEMBER.match(code))
    for section in _RAISES.findall(docstring):
        yield from _RAISED.findall(section)


def package_classes() -> dict[str, object]:
    loaded = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "vecrollback"]
    return {
        name: value
        for module in loaded
        for name, value in list(vars(module).items())
        if inspect.isclass(value) and value.__module__.startswith("vecrollback")
    }


def resolves(reference: str, module: ModuleType, classes: dict[str, object]) -> bool:
    if _DOTTED.match(reference):
        return _imported(reference)
    first, *rest = reference.split(".")
    start = getattr(module, first, None) or classes.get(first) or getattr(builtins, first, None)
    return start is not None and _has(start, rest)


def _imported(dotted: str) -> bool:
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        # `vecrollback.embedders` is a module and the name of a group of entry points; the module alone counts here.
        return _has(module, parts[length:])
    return False


def _has(start: object, names: list[str]) -> bool:
    for name in names:
        fields = getattr(start, "__dataclass_fields__", {}) | getattr(start, "__annotations__", {})
        if not hasattr(start, name):
            return name in fields
        start = getattr(start, name)
    return True


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids |= {value for key in ("id", "name") if (value := values.get(key))}
        if tag == "a" and (href := values.get("href")):
            self.links.append(href)


def broken_links(folder: Path) -> Iterator[str]:
    pages = {path.resolve(): _Page(path.read_text()) for path in folder.rglob("*.html")}
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            if "://" in link or link.startswith("mailto:"):
                continue
            place, _, anchor = unquote(link).partition("#")
            target = (path.parent / place).resolve() if place else path
            if target not in pages or (anchor and anchor not in pages[target].ids):
                yield f"{path.relative_to(folder.resolve())}: the link {link} leads nowhere"


if __name__ == "__main__":
    sys.exit(main())
