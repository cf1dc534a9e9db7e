"""A policy from TOML: `[policy]` of a `vecrollback.toml`, or the same keys at the top of a file of its own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from vecrollback.errors import UsageError
from vecrollback.storage import config
from vecrollback.switching.policy.model import (
    ACTIONS,
    SOURCES,
    STATISTIC_LIMITS,
    Action,
    AuthoritySettings,
    Channel,
    Condition,
    DrillSettings,
    Objectives,
    Policy,
    Rule,
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_CONDITION = re.compile(r"\s*(>=|<=|>|<)\s*(\d+(?:\.\d+)?)\s*(%?)\s*")
_TABLES = ("objectives", "authority", "drills", "contacts")
_LISTS = ("metric", "notify")
_DURATIONS = ("interval", "bake", "window", "latency", "switch", "whole", "every")
_BUILT_IN = ("error_rate", "health", "standout", "overlap", "purity", "lag")
_MILDER = {"overlap": {"action": "alert"}}
"""Two good models may agree on few documents: that alone moves nothing unless somebody says so."""
_CHANNEL_NEEDS = {"webhook": ("url",), "email": ("host", "to"), "command": ("command",)}
EVENTS = ("rollback", "restore", "alert", "approval", "drill", "model")


def load_policy(store: Path, file: str | Path | None = None) -> Policy | None:
    """The policy in force: of this file, else of the store; None where there is none. Raises UsageError."""
    if file is not None:
        return read_policy(Path(file))
    section = config.section("policy", store=store)
    return None if section is None else _Reader(str(section.path)).policy(section.values)


def read_policy(path: Path) -> Policy:
    """The policy of a file. Raises UsageError for one that cannot be read, and for whatever it does not mean."""
    import tomllib  # every rollback looks whether there is a policy; few read one

    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    return _Reader(str(path)).policy(values.get("policy", values))


class _Reader:
    """Reads one policy; every refusal names the file, the place in it, and what is meant there."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def policy(self, values: Mapping[str, Any]) -> Policy:
        own = [f.name for f in dataclasses.fields(Policy) if f.name not in ("rules", "channels", "origin", *_TABLES)]
        self._check_keys(values, [*own, *_TABLES, *_LISTS], "the policy")
        plain = {name: self._value(name, values[name], "") for name in own if name in values}
        base = Policy(
            **plain,
            objectives=self._table(Objectives, values, "objectives"),
            authority=self._table(AuthoritySettings, values, "authority"),
            drills=self._table(DrillSettings, values, "drills"),
            contacts={str(k): str(v) for k, v in self._mapping(values, "contacts").items()},
            channels=self._channels(values.get("notify", [])),
            origin=self._origin,
        )
        return dataclasses.replace(base, rules=self._rules(values, base))

    def _table(self, kind: Any, values: Mapping[str, Any], name: str) -> Any:
        table = self._mapping(values, name)
        self._check_keys(table, [f.name for f in dataclasses.fields(kind)], name)
        return kind(**{key: self._value(key, value, name) for key, value in table.items()})

    # -- metrics ------------------------------------------------------------------------------------------------------

    def _rules(self, values: Mapping[str, Any], base: Policy) -> tuple[Rule, ...]:
        if "metric" not in values:
            tables: list[Mapping[str, Any]] = [{"source": name, **_MILDER.get(name, {})} for name in _BUILT_IN]
            if base.objectives.latency is not None:
                tables.append({"source": "latency"})
        else:
            tables = self._list(values["metric"], "metric")
        rules = tuple(self._rule(one, base) for one in tables)
        names = [rule.name for rule in rules]
        if duplicates := {name for name in names if names.count(name) > 1}:
            self._fail("metric", f"two metrics are named {min(duplicates)!r}", "give each a name of its own")
        return rules

    def _rule(self, table: Mapping[str, Any], base: Policy) -> Rule:
        where = f"metric {table.get('name', table.get('source', ''))!r}"
        self._check_keys(table, [f.name for f in dataclasses.fields(Rule)], where)
        name = str(table.get("source", ""))
        if name not in SOURCES:
            self._fail(where, f"its source is {name!r}", f"one of {', '.join(SOURCES)}")
        source = SOURCES[name]
        for key in source.needs:
            if not table.get(key):
                self._fail(where, f"source {name!r} needs {key!r}", f"{key} = '...'")
        if name == "latency" and base.objectives.latency is None:
            self._fail(where, "a latency objective is missing", "[policy.objectives] latency = '50ms'")
        rule = self._fill(table, where, base)
        if rule.failure_limit >= rule.count:
            self._fail(
                where, f"{rule.count} measurements cannot fail more than {rule.failure_limit} times", "raise count"
            )
        return rule

    def _fill(self, table: Mapping[str, Any], where: str, base: Policy) -> Rule:
        source = SOURCES[table["source"]]
        plain = {key: self._value(key, value, where) for key, value in table.items()}
        conditions: dict[str, Any] = {
            key: self._condition(plain.pop(key), f"{where}: {key}") for key in ("failure", "success") if key in plain
        }
        statistic = str(plain.pop("statistic", source.statistics[0] if source.statistics else ""))
        if statistic not in (source.statistics or ("",)):
            self._fail(where, f"its statistic is {statistic!r}", f"one of {', '.join(source.statistics) or 'none'}")
        fallback = source.failure or STATISTIC_LIMITS.get(statistic)
        if "failure" not in conditions and fallback is None:
            self._fail(where, "nothing says when it fails", "failure = '> 0.05'")
        defaults: dict[str, Any] = {
            "name": "-".join(filter(None, (table["source"], statistic))),
            "success": None,
            "action": ACTIONS[source.speed][0],
            "interval": base.interval,
            "window": max(60.0, 6 * base.interval) if source.speed != "delayed" else 86400.0,
            "minimum": source.minimum,
            "count": 3 if source.speed != "delayed" else 1,
            "failure_limit": 1 if source.speed != "delayed" else 0,
            "failure": self._condition(fallback, where) if fallback else None,
            "statistic": statistic,
        }
        fields_of_rule: dict[str, Any] = {
            **defaults,
            **plain,
            **conditions,
            "action": self._action(plain, source.speed, where),
        }
        return Rule(**fields_of_rule)

    def _action(self, plain: Mapping[str, Any], speed: Any, where: str) -> Action:
        action = plain.get("action", ACTIONS[speed][0])
        if action not in ACTIONS[speed]:
            self._fail(where, f"a {speed} metric cannot {action!r}", f"one of {', '.join(ACTIONS[speed])}")
        return cast(Action, action)

    def _condition(self, text: object, where: str) -> Condition:
        match = _CONDITION.fullmatch(str(text))
        if match is None:
            self._fail(where, f"{text!r} is not a valid condition", "write it like '> 5%' or '< 0.3'")
        return Condition(match[1], float(match[2]) / (100 if match[3] else 1))

    # -- channels -----------------------------------------------------------------------------------------------------

    def _channels(self, value: Any) -> tuple[Channel, ...]:
        channels = []
        for number, one in enumerate(self._list(value, "notify"), 1):
            where = f"notify {number}"
            self._check_keys(one, [f.name for f in dataclasses.fields(Channel)], where)
            kind = one.get("kind")
            if kind not in _CHANNEL_NEEDS:
                self._fail(where, f"its kind is {kind!r}", f"one of {', '.join(_CHANNEL_NEEDS)}")
            for key in _CHANNEL_NEEDS[kind]:
                if not one.get(key) and not one.get(f"{key}_env"):
                    self._fail(where, f"a {kind} needs {key!r}", f"{key} = ...")
            # A misspelled event would silently never be sent.
            if unknown := [event for event in one.get("events", []) if event not in EVENTS]:
                self._fail(where, f"{unknown[0]!r} is not a valid event", f"use one of: {', '.join(EVENTS)}")
            tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in one.items()}
            channels.append(Channel(**{"name": f"{kind}-{number}", **tuples}))
        return tuple(channels)

    # -- values -------------------------------------------------------------------------------------------------------

    def _value(self, key: str, value: Any, where: str) -> Any:
        if key in _DURATIONS:
            return self._seconds(value, f"{where}: {key}".removeprefix(": "))
        expected = _EXPECTED.get(key)
        if expected is not None and (not isinstance(value, expected) or isinstance(value, bool) != (expected is bool)):
            self._fail(
                f"{where}: {key}".removeprefix(": "),
                f"{value!r} is not a valid {expected.__name__}",
                "see the reference",
            )
        if isinstance(value, int) and not isinstance(value, bool) and value < 0:
            self._fail(f"{where}: {key}".removeprefix(": "), f"{value} is less than nothing", "a whole number from 0")
        return value

    def _seconds(self, value: Any, where: str) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value)
        match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None or float(match[1]) <= 0:
            self._fail(
                where, f"{value!r} is not a valid duration", "write it like '500ms', '10s', '5m', '24h' or '30d'"
            )
        return float(match[1]) * _UNITS[match[2]]

    def _mapping(self, values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        table = values.get(name, {})
        if not isinstance(table, dict):
            self._fail(name, "it is not a table", f"[policy.{name}]")
        return cast(Mapping[str, Any], table)

    def _list(self, value: Any, name: str) -> list[Mapping[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self._fail(name, "it is not a list of tables", f"[[policy.{name}]]")
        return cast(list[Mapping[str, Any]], value)

    def _check_keys(self, table: Mapping[str, Any], names: list[str], where: str) -> None:
        for key in table:
            if key not in names:
                self._fail(where, f"unknown key {key!r}", f"known keys: {', '.join(names)}")

    def _fail(self, where: str, fact: str, cure: str) -> NoReturn:
        raise UsageError(f"{self._origin}: {where}: {fact}", hint=cure)


_EXPECTED: Mapping[str, type] = {
    "automatic": bool,
    "probe": bool,
    "pool": bool,
    "after_promote": bool,
    "samples": int,
    "blind_rounds": int,
    "restore_approvals": int,
    "minimum": int,
    "count": int,
    "failure_limit": int,
    "alpha": float,
    "name": str,
    "query": str,
    "address": str,
    "key": str,
}
