"""The reference page of the command line, made from the commands themselves.

`python -m vecrollback.cli.support.reference [FILE]` writes it; a test compares the committed page with a fresh one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from vecrollback.cli.support.commands import EXIT_CODES, NAMES, PANELS, load
from vecrollback.cli.support.session import SHARED_PANEL

_JSON = "JSON: "

PAGE = Path("docs/reference/cli.md")

_INTRO = """\
<!-- Written by `python -m vecrollback.cli.support.reference`; edit the commands, not this page. -->

# The command line

`vecrollback COMMAND` prints results on stdout and everything else (progress, notes, errors) on stderr. `--json` and
`--store URI` belong to every command and stand before or after its name. With `--json`, stdout holds exactly one JSON
document: the result, or `{"error": {"type", "message", "hint"}}`. Keys are added over time, never renamed.

A command that runs for more than five seconds says on stderr what it is doing. `VECROLLBACK_PROGRESS=never` leaves the
lines out, and `vecrollback --idle COMMAND` leaves the processor to whatever else wants it, such as queries.
"""


def page() -> str:
    """The whole page, Markdown."""
    return "\n".join([_INTRO, *_exit_codes(), *_shared(), *_contents(), *_panels()])


def json_shapes() -> dict[str, str]:
    """What each command prints under `--json`, by the command's name: `snapshot list`."""
    commands = (found for name in NAMES for found in _walk(name, load(name)))
    return {path: (command.epilog or "").rpartition(_JSON)[2] for path, command in commands}


def _exit_codes() -> Iterator[str]:
    yield from ("## Exit codes", "", "| code | meaning |", "|---|---|")
    yield from (f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    yield ""


def _shared() -> Iterator[str]:
    yield from ("## Options of every command", "")
    yield from _options([p for p in load(NAMES[0]).params if _shared_by_all(p)])


def _shared_by_all(parameter: Any) -> bool:
    return getattr(parameter, "rich_help_panel", None) == SHARED_PANEL


def _contents() -> Iterator[str]:
    yield from ("## The commands", "")
    for panel, lines in PANELS.items():
        yield from (f"**{panel}**", "", "| | |", "|---|---|")
        yield from (f"| [`{name}`](#{_anchor(name)}) | {_cell(line)} |" for name, line in lines.items())
        yield ""


def _anchor(name: str) -> str:
    # A group has no heading of its own: the link goes to its first command.
    first, _ = next(_walk(f"vecrollback {name}", load(name)))
    return first.replace(" ", "-")


def _panels() -> Iterator[str]:
    for panel, names in PANELS.items():
        yield from (f"## {panel}", "")
        for name in names:
            yield from _command(name)


def _command(name: str) -> Iterator[str]:
    for path, command in _walk(f"vecrollback {name}", load(name)):
        yield from (f"### {path}", "", *_paragraphs(command.help or ""))
        yield from (f"`{_usage(path, command)}`", "")
        own = [p for p in command.params if not _shared_by_all(p)]
        yield from _options([p for p in own if p.name != "help"])
        yield from _epilog(command.epilog or "")


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(command, TyperGroup):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name, child in command.commands.items():
        yield from _walk(f"{path} {name}", child)


def _usage(path: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    shown = [_names(p) if p.required or p.metavar else f"[{_names(p)}]" for p in arguments]
    return " ".join([path, "[OPTIONS]", *shown])


def _options(parameters: list[Any]) -> Iterator[str]:
    if not parameters:
        return
    yield from ("| | | default |", "|---|---|---|")
    for parameter in parameters:
        yield f"| `{_cell(_names(parameter))}` | {_cell(parameter.help or '')} | {_default(parameter)} |"
    yield ""


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.is_flag:
        return names
    return f"{names} {parameter.metavar or parameter.name.upper()}"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    shown = parameter.default
    return "" if shown in (None, False, "") else f"`{shown}`"


def _epilog(epilog: str) -> Iterator[str]:
    examples, _, returns = epilog.rpartition(_JSON)
    if lines := [line.strip() for line in examples.splitlines()[1:] if line.strip()]:
        yield from ("```sh", *lines, "```", "")
    yield from (f"JSON: `{returns}`", "")


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield from (_plain(paragraph), "")


def _plain(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the reference of the commands.")
    parser.add_argument("path", nargs="?", type=Path, default=PAGE)
    path: Path = parser.parse_args().path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
