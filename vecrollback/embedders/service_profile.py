"""Profiles of services: a table `[embedder.NAME]` of vecrollback.toml that is one embedder string.

    [embedder.voyage]
    model = "voyage-3.5"
    base_url = "https://api.voyageai.com/v1"
    api_key_env = "VOYAGE_API_KEY"
    encoding_format = "none"
    document.input_type = "document"
    query.input_type = "query"

`profile:voyage` opens it. A pair keeps the string that the table stands for, so it can be opened wherever the file is
not, and a later change of the file changes no pair. Keys are those of the string; a key with a dot is a dotted key.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vecrollback.embedders.spec import VARIABLE, Arguments
from vecrollback.errors import EmbedderSpecError
from vecrollback.records import Json
from vecrollback.storage import config

PREFIX = "profile:"
TABLE = "embedder"

_GROUPS = ("body", "document", "query")
"""Dotted keys whose values are JSON in the body of a request."""

_NAME = re.compile(r"[\w-]+")
_SECRET = re.compile(r"auth|key|token|secret|cookie|passw|signature|credential", re.IGNORECASE)
_SECRET_FIELD = re.compile(
    r"(api|access|auth|secret|private|bearer)[-_]?(key|token)|passw|secret|credential|^(key|token|auth|authorization)$",
    re.IGNORECASE,
)
"""Of a body, where `tokenizer` and `truncate_prompt_tokens` are no secrets."""
_HEADER = re.compile(r"[!#$%&'*+.^`|~\w-]+", re.ASCII)
_SAFE = "/:,${}-._~@"
"""Characters that stay as they are in a string: they end neither a value nor a name."""


def expand(spec: str, store: Path | None = None) -> str:
    """The string that `profile:NAME?more=...` stands for; any other string as it is.

    Args:
        spec: An embedder string. What follows `?` wins over the table.
        store: A store whose own vecrollback.toml is read where the one in the working directory has no such table.

    Raises:
        EmbedderSpecError: There is no such profile, or it cannot be written as a string.

    Example:
        >>> expand("hash:64?seed=1")
        'hash:64?seed=1'
    """
    if not spec.startswith(PREFIX):
        return spec
    name, _, query = spec.removeprefix(PREFIX).partition("?")
    section = config.section(TABLE, store=store or Path(config.load().store))
    tables = section.values if section else {}
    if name not in tables:
        known = ", ".join(sorted(tables)) or "none"
        raise EmbedderSpecError(
            f"there is no profile {name!r}: {section.path if section else config.FILE} has {known}",
            hint=f"write [{TABLE}.{name}], or let `vecrollback embedder try SPEC --write {name}` write it",
        )
    arguments = _flat(name, tables[name])
    model = arguments.pop("model", "")
    given = [part for part in query.split("&") if part]
    replaced = {part.partition("=")[0] for part in given}
    written = [f"{key}={quote(value, _SAFE)}" for key, value in arguments.items() if key not in replaced]
    if not model or "?" in model:
        raise EmbedderSpecError(f"[{TABLE}.{name}] names no model", hint='for example model = "text-embedding-3-small"')
    return f"service:{model}?{'&'.join([*written, *given])}"


def table_of(name: str, model: str, arguments: dict[str, str]) -> str:
    """A profile as the text of its table, which `expand` reads back.

    Args:
        name: Of the profile: letters, digits, `-` and `_`.
        model: What the service calls its model.
        arguments: Of the embedder string, by name.

    Raises:
        EmbedderSpecError: The name is not a valid one.

    Example:
        >>> print(table_of("local", "m", {"base_url": "http://host/v1", "query.input_type": "query"}))
        [embedder.local]
        model = "m"
        base_url = "http://host/v1"
        query.input_type = "query"
    """
    if not _NAME.fullmatch(name):
        raise EmbedderSpecError(f"{name!r} is not a valid name of a profile", hint="letters, digits, - and _")
    lines = [f"[{TABLE}.{name}]", f"model = {_toml(model)}"]
    for key, value in arguments.items():
        group, dot, field = key.partition(".")
        is_number = not dot and re.fullmatch(r"\d+(\.\d+)?", value)
        written = value if is_number else _toml(_as_json(value) if dot and group in _GROUPS else value)
        lines.append(f"{f'{group}.{_key(field)}' if dot else key} = {written}")
    return "\n".join(lines)


def write_table(name: str, table: str, directory: Path | None = None) -> Path:
    """Add a profile to the vecrollback.toml of a directory, the working directory by default; returns the file.

    Raises:
        EmbedderSpecError: The file has a profile of that name, or could not be read with this one in it.
    """
    path = (directory or Path.cwd()) / config.FILE
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if re.search(rf"^\[{TABLE}\.{name}\]", text, re.MULTILINE):
        raise EmbedderSpecError(f"{path} has a profile {name!r}", hint="choose another name, or take that table out")
    whole = f"{text.rstrip()}\n\n{table}\n".lstrip()
    try:
        tomllib.loads(whole)
    except tomllib.TOMLDecodeError as error:
        raise EmbedderSpecError(f"{path} would not be valid TOML: {error}", hint="mend the file first") from error
    new = path.with_name(f"{config.FILE}.new")
    new.write_text(whole, encoding="utf-8")
    new.replace(path)
    return path


def read_fields(arguments: Arguments, group: str) -> dict[str, Json]:
    """Fields for the body of a request: `body.truncation=false`. A value that is JSON is that, any other is text.

    Raises:
        EmbedderSpecError: One holds a secret, which the contract would keep. The value is not repeated.
    """
    fields = {name: _as_json(value) for name, value in arguments.group(group).items()}
    if secret := _secret_in(fields):
        raise EmbedderSpecError(
            f"{group}.{secret} would put a secret into the contract, which every pair keeps",
            hint="send it in a header: header.NAME=${VARIABLE}",
        )
    return fields


def _secret_in(fields: Mapping[str, Json]) -> str | None:
    """The name of a field that holds a secret in plain text."""
    for name, value in fields.items():
        if isinstance(value, str) and _SECRET_FIELD.search(name):
            return name
        if isinstance(value, dict) and (inner := _secret_in(value)):
            return f"{name}.{inner}"
    return None


def read_headers(arguments: Arguments) -> dict[str, str]:
    """Headers: `header.api-key=${NAME}`, with the secret in an environment variable.

    Raises:
        EmbedderSpecError: A header that carries a secret holds it in plain text, or is not a valid one. The value is
            not repeated.
    """
    headers = arguments.group("header")
    for name, value in headers.items():
        plain = VARIABLE.sub("", value)
        if _SECRET.search(name) and plain == value:
            raise EmbedderSpecError(
                f"header.{name} holds a value that looks like a secret",
                hint=f"export it in the process that embeds, and write header.{name}=${{NAME_OF_THE_VARIABLE}}",
            )
        if not (_HEADER.fullmatch(name) and plain.isascii() and (plain.isprintable() and "${" not in plain)):
            raise EmbedderSpecError(
                f"header.{name} is not a valid header",
                hint="a name of letters, digits and dashes; a value in ASCII, with variables as ${NAME}",
            )
    return headers


def read_parameters(arguments: Arguments) -> dict[str, str]:
    """Parameters of the address: `param.api-version=2024-02-01`. They show in logs of servers, so hold no secret.

    Raises:
        EmbedderSpecError: One would. The value is not repeated.
    """
    parameters = arguments.group("param")
    for name, value in parameters.items():
        if _SECRET.search(name) or "${" in value:
            raise EmbedderSpecError(
                f"param.{name} would put a secret into the address", hint="send it in a header: header.NAME=${VARIABLE}"
            )
    return parameters


def _flat(name: str, table: object) -> dict[str, str]:
    """The keys of a profile as arguments of a string."""
    if not isinstance(table, dict):
        raise EmbedderSpecError(f"{TABLE}.{name} is not a table", hint=f"write [{TABLE}.{name}] on a line of its own")
    arguments: dict[str, str] = {}
    for key, value in table.items():
        if not isinstance(value, dict):
            arguments[key] = _as_text(value)
            continue
        for field, one in value.items():
            arguments[f"{key}.{field}"] = _body_text(one) if key in _GROUPS else _as_text(one)
    return arguments


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | list | dict) else str(value)


def _body_text(value: Any) -> str:
    """A value that `_as_json` reads back as it was: text that looks like JSON is put into quotes."""
    return value if isinstance(value, str) and _as_json(value) == value else json.dumps(value)


def _as_json(value: str) -> Json:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _toml(value: Json) -> str:
    """A value as TOML writes it. Raises EmbedderSpecError for null, which TOML lacks."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(name)} = {_toml(one)}' for name, one in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if value is None:
        raise EmbedderSpecError("a field is null, which cannot be written in TOML", hint="leave the field out")
    return json.dumps(value, ensure_ascii=False)


def _key(field: str) -> str:
    return field if _NAME.fullmatch(field) else json.dumps(field)
