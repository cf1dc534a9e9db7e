"""Reading embedder strings: `KIND:TARGET?key=value&...`, a hub name, a directory, or `package.module:callable`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, quote

from vecrollback.errors import EmbedderSpecError

D = TypeVar("D")

SENTENCE_TRANSFORMERS = "sentence-transformers"
CALLABLE = "callable"
FRAMEWORKS = ("langchain", "llama-index", "haystack")

_FORMS = (
    "a directory, a hub name such as org/model, openai:MODEL, service:MODEL, profile:NAME, hash:DIM, or "
    "package.module:callable"
)
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
VARIABLE = re.compile(r"\$\{(\w+)\}")
"""An environment variable in a value: `${NAME}`."""
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_YES, _NO = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


class Arguments:
    """The `?key=value` part, read by name. `refuse_unknown` refuses the arguments that were not read.

    A value is never repeated in an error about an unknown key: somebody may have put a secret there.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self._names_read: set[str] = set()

    def text(self, name: str, default: D) -> str | D:
        self._names_read.add(name)
        return self._values.get(name, default)

    def choice(self, name: str, options: Sequence[str], default: D) -> str | D:
        value = self.text(name, None)
        if value is None:
            return default
        if value not in options:
            raise EmbedderSpecError(f"{name}={value!r} is not known", hint=f"{name} is one of: {', '.join(options)}")
        return value

    def flag(self, name: str, default: D) -> bool | D:
        value = self.text(name, None)
        if value is None:
            return default
        if value.lower() not in _YES | _NO:
            raise EmbedderSpecError(f"{name}={value!r} is neither true nor false", hint=f"write {name}=true or false")
        return value.lower() in _YES

    def integer(self, name: str, default: D, *, minimum: int = 1) -> int | D:
        value = self.text(name, None)
        if value is None:
            return default
        if not re.fullmatch(r"-?\d+", value) or int(value) < minimum:
            raise EmbedderSpecError(f"{name}={value!r} is not a whole number >= {minimum}", hint=f"correct {name}")
        return int(value)

    def number(self, name: str, default: D, *, minimum: float = 0.0) -> float | D:
        value = self.text(name, None)
        if value is None:
            return default
        if not re.fullmatch(r"-?\d+(\.\d*)?([eE]-?\d+)?", value) or float(value) < minimum:
            raise EmbedderSpecError(f"{name}={value!r} is not a number >= {minimum:g}", hint=f"correct {name}")
        return float(value)

    def group(self, name: str) -> dict[str, str]:
        """The arguments written `NAME.key=value`, by key."""
        values = {key: value for key, value in self._values.items() if key.startswith(f"{name}.")}
        self._names_read |= {*values, f"{name}.NAME"}
        return {key.removeprefix(f"{name}."): value for key, value in values.items()}

    def refuse_unknown(self, kind: str) -> None:
        """Raise EmbedderSpecError for arguments that were given but never read."""
        unread = sorted(self._values.keys() - self._names_read)
        if unread:
            raise EmbedderSpecError(
                f"unknown argument {', '.join(unread)} for a {kind} embedder",
                hint=f"known arguments: {', '.join(sorted(self._names_read)) or 'none'}",
            )


@dataclass(frozen=True, slots=True)
class Spec:
    """An embedder string taken apart.

    `text` opens the same embedder again; `target` stands between `KIND:` and `?`. An entry point of the group
    `vecrollback.embedders` is a function that takes a Spec and returns an Embedder.
    """

    text: str
    kind: str
    target: str
    arguments: Arguments

    def at(self, directory: Path) -> Spec:
        """Return the same spec with its target written as `directory`."""
        _, mark, query = self.text.partition("?")
        return replace(self, text=f"{directory}{mark}{query}", target=str(directory))


def parse(text: str, kinds: Collection[str]) -> Spec:
    """Take an embedder string apart.

    Args:
        text: `KIND:TARGET?key=value&...`, a hub name, a directory or `package.module:callable`.
        kinds: The kinds that have a `NAME:` prefix. An existing directory wins over every other reading.

    Raises:
        EmbedderSpecError: Nothing fits, or an argument is given twice.

    Example:
        >>> spec = parse("mine:small?size=3", ["mine"])
        >>> spec.kind, spec.target, spec.arguments.integer("size", 1)
        ('mine', 'small', 3)
    """
    head, _, query = text.partition("?")
    kind, target = _kind_of(head, kinds)
    return Spec(text=text, kind=kind, target=target, arguments=Arguments(_pairs(query)))


def moved(text: str, directory: Path) -> str:
    """The string of the same model with the same arguments, from a copy of its files in another directory."""
    _, others = _without(text, {"revision"})  # a directory has none
    return f"{directory}?{'&'.join(others)}" if others else str(directory)


def _without(text: str, names: Collection[str]) -> tuple[str, list[str]]:
    """What stands before the `?`, and the other arguments, as they are written."""
    head, _, query = text.partition("?")
    return head, [part for part in query.split("&") if part and part.partition("=")[0] not in names]


def arguments_of(text: str) -> tuple[str, dict[str, str]]:
    """The target of `KIND:TARGET?key=value&...`, and its arguments.

    Example:
        >>> arguments_of("service:org/m?rate=3")
        ('org/m', {'rate': '3'})
    """
    head, _, query = text.partition("?")
    return head.partition(":")[2], _pairs(query)


def with_arguments(text: str, values: Mapping[str, str | None]) -> str:
    """A string with other values for some arguments; None takes one away.

    Example:
        >>> with_arguments("hash:8?seed=1&chunk=none", {"seed": "2", "chunk": None})
        'hash:8?seed=2'
    """
    head, kept = _without(text, values)
    added = [f"{name}={quote(value)}" for name, value in values.items() if value is not None]
    return f"{head}?{'&'.join([*kept, *added])}"


def _kind_of(head: str, kinds: Collection[str]) -> tuple[str, str]:
    prefix, colon, target = head.partition(":")
    if not head.strip():
        raise EmbedderSpecError("the embedder string is empty", hint=f"give {_FORMS}")
    # A directory first: its name may look like a hub name, and what is on this disk needs no network.
    if Path(head).expanduser().is_dir():
        return SENTENCE_TRANSFORMERS, head
    if colon and prefix in kinds:
        return prefix, target
    if colon and _DOTTED.fullmatch(prefix) and _DOTTED.fullmatch(target):
        return CALLABLE, head
    if not colon and prefix in kinds:
        raise EmbedderSpecError(
            f"{head!r} is a kind of embedder, and names no model of it", hint=f"give {head}:...; {_FORMS}"
        )
    if head[0] in "./~":
        raise EmbedderSpecError(
            f"directory {head} does not exist", hint="give the directory that holds the model's files"
        )
    if HUB_NAME.fullmatch(head):
        return SENTENCE_TRANSFORMERS, head
    raise EmbedderSpecError(
        f"{head!r} names no embedder", hint=f"give {_FORMS}; kinds installed here: {', '.join(sorted(kinds))}"
    )


def _pairs(query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in values:
            raise EmbedderSpecError(f"argument {name} is given twice", hint="keep one of them")
        values[name] = value
    return values
