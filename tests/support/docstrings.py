"""Docstrings read as what they promise: sections in Google's style, and examples that run."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Callable
from typing import Any


def run_examples(documented: Any, names: dict[str, Any]) -> None:
    """Run the examples in a docstring; `names` is what they know, and what they define."""
    name, text = documented.__name__, inspect.getdoc(documented) or ""
    test = doctest.DocTestParser().get_doctest(text, names, name, name, 0)
    test.globs = names
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    failed = doctest.DocTestRunner().run(test, out=said.append, clear_globs=False).failed
    assert not failed, "".join(said)


def sections(documented: Callable[..., Any]) -> dict[str, str]:
    """Heading -> what stands below it."""
    parts = re.split(r"^(Args|Returns|Raises|Example):\n", inspect.getdoc(documented) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def described_arguments(documented: Callable[..., Any]) -> list[str]:
    """The arguments that a docstring tells of, in its order."""
    return re.findall(r"^    \*{0,2}(\w+): \S", sections(documented).get("Args", ""), flags=re.MULTILINE)


def arguments(documented: Callable[..., Any]) -> list[str]:
    """The arguments that there are."""
    return [name for name in inspect.signature(documented).parameters if name != "self"]
