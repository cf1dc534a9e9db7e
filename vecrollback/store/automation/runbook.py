"""The runbook of one store: what to type when it is bad, with this store's own names and numbers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from vecrollback.catalog import now
from vecrollback.errors import NoRollbackTargetError
from vecrollback.records import LIVE, Json
from vecrollback.store.automation.operated_store import OperatedStore
from vecrollback.switching.policy import Policy, load_policy


def write_runbook(store: OperatedStore, server: str = "") -> str:
    """The runbook as Markdown. Commands stand in blocks marked `sh`, and can be typed as they are.

    `server`: where the store is served, for those who have a browser and no shell there.
    """
    policy = load_policy(store.root) or Policy()
    status = store.status()
    writer = _Writer(store, policy, status, server)
    return "\n".join(writer.lines()).rstrip()


class _Writer:
    def __init__(self, store: OperatedStore, policy: Policy, status: Json, server: str) -> None:
        self._store, self._policy, self._status, self._server = store, policy, status, server
        self._where = f" --store {shlex.quote(store.uri)}"
        if "://" in (catalog := str(status["catalog"])):  # without its password, which PGPASSWORD or ~/.pgpass has
            self._where += f" --catalog {shlex.quote(catalog.replace(':***@', '@'))}"

    def lines(self) -> Iterator[str]:
        yield f"# Runbook: {self._store.uri.partition('?')[0].rpartition('/')[2]}\n"
        yield f"Written {now()[:16]} UTC by `vecrollback runbook`; write it again after a promote.\n"
        yield from self._situation()
        yield from self._names()
        yield from self._back()
        yield from self._nowhere()
        yield from self._afterwards()
        yield from self._otherwise()
        yield from self._automation()
        yield from self._drills()
        yield from self._people()

    def _situation(self) -> Iterator[str]:
        seen = self._store.situation()
        yield f"## How it stood then\n\n{seen.verdict}. Now:\n"
        yield from self._commands("status")
        if seen.open_lines:
            yield "| what | state | | next |\n|---|---|---|---|"
            for line in seen.open_lines:
                command = f"`{line.command}`" if line.command else ""
                yield f"| {line.name} | {line.state} | {_cell(line.sentence)} | {command} |"
            yield ""

    def _names(self) -> Iterator[str]:
        live = self._status["alias"].get(LIVE)
        yield "## What there is\n\n| | |\n|---|---|"
        yield f"| store | `{self._store.uri}` |\n| catalog | `{self._status['catalog']}` |"
        yield f"| server, and its dashboard | {self._server or 'not named: `vecrollback runbook --server URL`'} |"
        yield f"| live | {_ref(live)} |\n| a rollback goes to | {self._target()} |"
        for pair in self._status["pairs"]:
            verdict = pair["checked"] or "none"
            model = _model(pair["model"])
            yield f"| pair `{pair['name']}` | {pair['state']}, `{pair['embedder']}`, last check {verdict}, {model} |"
        yield f"| searchers now | {', '.join(_searchers(self._status)) or 'none'} |\n"

    def _target(self) -> str:
        try:
            return f"`{self._store.rollback_target().ref}`"
        except NoRollbackTargetError as error:
            return f"nowhere: {' '.join(error.message.split())}"

    def _back(self) -> Iterator[str]:
        yield "## Answers are bad: go back\n\nLook where it would go; nothing moves:\n"
        yield from self._commands("rollback --dry-run")
        yield "Then go. Model and index move together, in every searcher, before the command's next line:\n"
        yield from self._commands("rollback --reason 'what is wrong'")
        whole, switch = self._policy.objectives.whole, self._policy.objectives.switch
        yield f"Objective: every searcher within {switch:g} s, caught up and checked within {whole:g} s.\n"

    def _nowhere(self) -> Iterator[str]:
        yield "## There is nowhere to go back to\n\nThe command says of each pair why. In this order:\n"
        yield "1. Hold automation back, and tell people (below): answers stay as they are meanwhile."
        yield "2. A pair whose check failed: `vecrollback repair PAIR`, then `vecrollback rollback` again."
        yield "3. A pair whose model is silent: bring it back, then `vecrollback embedder ask PAIR`."
        yield "4. An older snapshot: `vecrollback restore PAIR@N --dry-run`, then without it and with a `--reason`."
        yield "5. The older pair is bad, but better than this one: `vecrollback rollback --to PAIR --override`."
        yield "6. A backup, in another place: `vecrollback backup restore FILE --store NEW`, then `serve` that.\n"

    def _afterwards(self) -> Iterator[str]:
        yield "## It is well again when\n"
        yield "- `status` begins with `Well`, or says of each other line what is left;"
        yield "- the check of what serves says `pass`, and the incident `check ended`;"
        yield "- every searcher follows: none is named as late.\n"
        yield from self._commands("status", "check --quick", "incident list")
        yield "Complete the incident: `vecrollback incident export`, `incident add-golden`, `incident close`.\n"

    def _otherwise(self) -> Iterator[str]:
        yield "## If that is not enough\n\n| what is wrong | what to do |\n|---|---|"
        yield "| the command refuses (exit code 3) | it says for each pair why; mend one: `vecrollback repair PAIR` |"
        yield "| a searcher is not heard from | restart it; it follows from its first query on |"
        yield "| the disk is full | delete the store's `cache/`, type the command again |"
        yield "| the older pair's model does not answer | bring it back, then `vecrollback embedder ask PAIR` |"
        yield "| the older pair's index is damaged | `vecrollback restore PAIR@N`, or import a bundle |"
        count = self._policy.authority.restore_approvals
        if count:
            yield f"| older data has to be served | `vecrollback restore PAIR@N`; {count} different people approve it |"
        yield "\nSnapshots there are:\n"
        yield from self._commands("snapshot list", "history --limit 10")

    def _automation(self) -> Iterator[str]:
        yield "## What moves by itself\n"
        rules = [f"`{rule.name}` {rule.failure}" for rule in self._policy.rules if rule.action == "rollback"]
        if rules and self._policy.automatic:
            hours = self._policy.window / 3600
            yield f"Within {hours:g} h after a promote the policy rolls back when {', '.join(rules)}.\n"
        else:
            yield "Nothing: no policy rolls back.\n"
        yield "Hold it back, and let it go again:\n"
        yield from self._commands("freeze --reason 'why'", "unfreeze")

    def _drills(self) -> Iterator[str]:
        drills = [one for one in self._store.drills(limit=200) if not one.chaos]
        yield "## Rehearsed\n"
        if drills:
            last = drills[0]
            yield f"Drill {last.number}, {last.at[:16]} UTC: {last.verdict}, {last.source} to {last.target}.\n"
            yield "| step | seconds | objective |\n|---|---|---|"
            for phase in last.phases:
                yield f"| {phase.name} | {phase.seconds:.3f} | {f'{phase.limit:g}' if phase.limit else ''} |"
            yield ""
        else:
            yield "Never. Do it now; it changes nothing that serves:\n"
        yield from self._commands("drill")

    def _people(self) -> Iterator[str]:
        yield "## Whom to call\n\n| | |\n|---|---|"
        for name, how in self._policy.contacts.items():
            yield f"| {name} | {how} |"
        if not self._policy.contacts:
            yield "| _nobody is named_ | `[policy.contacts]` in `vecrollback.toml` |"
        yield "\n## Roles, and when to wake the next one\n\n| role | does |\n|---|---|"
        yield "| whoever is called | acknowledges within 5 minutes, rolls back, watches until it is well again |"
        yield "| who leads | decides on `--override`, `restore` and what is told outside |"
        yield "| who speaks | tells users when it began, what they see, when the next news comes |"
        whole = self._policy.objectives.whole
        yield f"\nThe next one is woken when nobody acknowledged for 15 minutes, and when it is not well {whole:g} s"
        yield "after the rollback. Words to send:\n"
        yield "> Acknowledged: answers of TIME on are bad. We are going back to PAIR. Next news at TIME.\n"
        yield "> Resolved: since TIME answers come from PAIR again, and its check passed. What was answered from TIME"
        yield "> to TIME may be wrong; `vecrollback affected --pair PAIR` lists it."

    def _commands(self, *commands: str) -> Iterator[str]:
        yield "```sh"
        yield from (f"vecrollback {command}{self._where}" for command in commands)
        yield "```\n"


def _ref(alias: Json) -> str:
    return f"`{alias['pair']}@{alias['snapshot']}`, epoch {alias['epoch']}" if alias else "nothing yet"


def _model(facts: Json) -> str:
    kept = "" if facts["kept_bytes"] is None else f", of which the store keeps {facts['kept_bytes']:,} bytes"
    if facts["answers"] == "unknown":
        return f"model not asked lately{kept}"
    verb = "answered" if facts["answers"] == "pass" else "did not answer"
    return f"model {verb} at {facts['asked_at'][:16]}{kept}"


def _searchers(status: Json) -> list[str]:
    return [f"{one['host']}:{one['pid']}" for one in status["searchers"]]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
