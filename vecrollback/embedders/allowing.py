"""What a string from a foreign store or a bundle may open: foreign addresses and code only where they are allowed.

A pair's embedder string may name the address of a service, the variable that holds its key, or a function to import.
Whoever made the bundle chose them. Without a word of the operator's only this is opened: models in files, addresses on
this machine, and OpenAI's own with its own variable. In a store that was created on this machine, or whose folder is
trusted, the operator named the rest. Elsewhere it is allowed in `vecrollback.toml`::

    [allow]
    services = ["https://embed.example.com/v1 EMBED_KEY"]    an address, and the variables that may go there
    callables = ["mypackage.embedders:make", "mypackage.*"]

or in `VECROLLBACK_ALLOW`, the same entries with a semicolon between them. A profile `[embedder.NAME]` allows its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import parse_qsl

from vecrollback.embedders.spec import CALLABLE, FRAMEWORKS, VARIABLE, Spec
from vecrollback.errors import UntrustedError, UsageError
from vecrollback.records import Json
from vecrollback.storage import config
from vecrollback.storage.trust import is_loopback, require_no_link_local

_SETTING = "VECROLLBACK_ALLOW"
_SECTION = "allow"
_TRUST = "if the store is yours: `vecrollback trust STORE`; else"
_OPENAI = ("https://api.openai.com/v1", frozenset({"OPENAI_API_KEY"}))

Services = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Allowances:
    """What an operator allowed: address -> variables; patterns of callables. `unheard`: why a file was not obeyed."""

    services: Services
    callables: tuple[str, ...]
    unheard: str = ""


def require_allowed(spec: Spec, store: Path | None) -> None:
    """Raise UntrustedError, before a byte is sent or a module loaded, for what nobody has allowed.

    Args:
        spec: The string, taken apart.
        store: Of which the string comes; its `vecrollback.toml` counts if it is trusted.
    """
    if spec.kind == CALLABLE or spec.kind in FRAMEWORKS:
        # A class of a framework is code, too, and sends texts where its own settings say.
        code = spec.target if spec.kind == CALLABLE else f"{spec.kind}:{spec.target}"
        allowed = _allowances(store)
        if not any(fnmatchcase(code, pattern) for pattern in allowed.callables):
            raise UntrustedError(
                f"{code} is code to be imported, and nobody has allowed it here{allowed.unheard}",
                hint=f'{_TRUST} [allow] callables = ["{code}"] in vecrollback.toml, or in {_SETTING}',
            )
        if spec.kind == CALLABLE:
            return
    addresses, variables = _named_in(spec)
    own = _OPENAI[1] if spec.kind == "openai" else frozenset()
    if not addresses and variables <= own:
        return
    for address in addresses or [_OPENAI[0]]:
        if is_loopback(address):
            continue
        allowed = _allowances(store)
        if address not in allowed.services or not variables <= allowed.services[address]:
            what = f"{address} with {', '.join(sorted(variables))}" if variables else address
            raise UntrustedError(
                f"the embedder sends texts to {what}, and nobody has allowed that here{allowed.unheard}",
                hint=f'{_TRUST} [allow] services = ["{" ".join([address, *sorted(variables)])}"] in vecrollback.toml, '
                f"or in {_SETTING}",
            )
        require_no_link_local(address)


def _named_in(spec: Spec) -> tuple[list[str], frozenset[str]]:
    """Addresses and variables that a string names, whatever the kind calls them."""
    arguments = parse_qsl(spec.text.partition("?")[2], keep_blank_values=True)
    addresses = [_plain(value) for _, value in arguments if "://" in value]
    variables = {value for key, value in arguments if key.endswith("_env")}
    return addresses, frozenset(variables.union(*(VARIABLE.findall(value) for _, value in arguments)))


def _allowances(store: Path | None) -> Allowances:
    services: dict[str, frozenset[str]] = {_OPENAI[0]: _OPENAI[1]}
    values, unheard = _tables(_SECTION, store)
    if unknown := values.keys() - {"services", "callables"}:
        raise UsageError(f"[{_SECTION}] has no key {sorted(unknown)[0]!r}", hint="its keys are services and callables")
    lines = [*_texts(values, "services"), *_texts(values, "callables")]
    lines += [line.strip() for line in os.environ.get(_SETTING, "").split(";") if line.strip()]
    for line in lines:
        if "://" in line:
            address, *names = line.split()
            services[_plain(address)] = services.get(_plain(address), frozenset()) | set(names)
    for table in _tables("embedder", store)[0].values():
        if isinstance(table, dict) and "base_url" in table:
            address, text = _plain(str(table["base_url"])), str(table)
            variables = {str(value) for key, value in table.items() if key.endswith("_env")}
            services[address] = services.get(address, frozenset()) | variables | set(VARIABLE.findall(text))
    return Allowances(services, tuple(line for line in lines if "://" not in line), unheard)


def _tables(name: str, store: Path | None) -> tuple[Mapping[str, Json], str]:
    """A table of `vecrollback.toml`; empty, with the reason, in a folder that nobody has trusted."""
    try:
        section = config.section(name, store=store or Path(config.load().store))
    except UntrustedError as error:
        return {}, f" ({error})"
    return (section.values if section else {}), ""


def _texts(values: Mapping[str, Json], name: str) -> Sequence[str]:
    entries = values.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(one, str) and one.strip() for one in entries):
        raise UsageError(f"[{_SECTION}] {name} is not a list of texts", hint=f'{name} = ["...", "..."]')
    return entries


def _plain(address: str) -> str:
    return address.strip().rstrip("/")
