"""Every command: its place in `vecrollback --help`, the line it has there, and how its module is loaded when asked for.

`vecrollback --help` has to be instant, and a rollback must not wait for what other commands import. So the lines stand
here and not only in the modules; a test compares the two.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import typer

EXIT_CODES = {
    0: "done",
    1: "a check found something, or the work failed",
    2: "wrong usage or configuration",
    3: "refused by a safety rule",
    4: "stopped before the end; the same command goes on where it stopped",
}

PANELS: Mapping[str, Mapping[str, str]] = {
    "Every day": {
        "init": "Create an empty store.",
        "ingest": "Write the documents of files and folders into the store.",
        "search": "Search the live pair, and say which pair answered.",
        "reembed": "Build a pair with a model, while the live pair goes on serving.",
        "promote": "Make a pair live, after catch-up, check and gates.",
        "rollback": "Go back to the pair that was live before: model and index.",
        "catch-up": "Bring pairs up to date with the newest documents.",
        "status": "Show what is live, how far behind it is, and what is unfinished.",
        "check": "Audit a pair: every document in it, every vector from its model.",
        "history": "List the moves of the live pointer: when, where, who and why.",
        "serve": "Answer over HTTP: search, moves, metrics and a dashboard.",
        "doctor": "Examine an index kept elsewhere; it is only read.",
    },
    "Build pairs and keep them up to date": {
        "plan": "Estimate what `reembed` would take: time, money and disk.",
        "pairs": "List every pair: its state, embedder, lag and last check.",
        "jobs": "List, show, pause, resume or cancel long work.",
        "worker": "Keep the live and the standby pair up to date, all the time.",
        "adopt": "Bring an index kept elsewhere in as a pair; again, to sync it.",
        "embedder": "Show, measure or equate embedders; keep or ask a pair's model.",
    },
    "Measure and prove": {
        "golden": "Keep queries whose right answers are known, to measure pairs by.",
        "compare": "Ask two pairs the same queries, and compare their answers.",
        "forecast": "Tell what a model would be worth, from a sample of the corpus.",
        "bridge": "Learn a map from one pair's model to another pair's space.",
        "bridges": "List the maps between pairs, and what each is worth.",
        "gates": "Tell whether a pair would pass the gates of a promote.",
        "purity": "Find the vectors of a pair that its own model did not make.",
        "repair": "Embed again what a check found wrong, and check again.",
        "accept": "Accept by name documents that a model cannot embed.",
        "reconcile": "Mend a catalog that went back in time.",
    },
    "Release step by step, and exact ways back": {
        "canary": "Try a pair on part of the traffic before it goes live.",
        "restore": "Make one exact snapshot live.",
        "approvals": "List the moves that wait, or waited, for approval.",
        "approve": "Approve a move that waits; the last approval needed makes it.",
        "reject": "Reject a move that waits for approval.",
        "freeze": "Forbid automation to move what is live; people still can.",
        "unfreeze": "Let automation move what is live again.",
    },
    "Watch, rehearse and report": {
        "watch": "Watch the live pair by a policy, and act as the policy says.",
        "config": "Show the configuration in force, and where each value comes from.",
        "trust": "Trust a folder's vecrollback.toml on this machine.",
        "policy": "Check a policy, or try it on recorded measurements.",
        "drill": "Rehearse a whole rollback beside what serves.",
        "runbook": "Write the runbook of this store, with the commands to type.",
        "incident": "List, show, export and close the records of rollbacks.",
        "affected": "List what a bad pair answered: when, how much, which incidents.",
        "report": "Sum up how fast problems were found and undone.",
    },
    "Documents, snapshots and disk space": {
        "delete": "Delete documents: no pair and no snapshot returns them again.",
        "pair": "Write a pair to another place, and prove it is the same there.",
        "snapshot": "Take, list, name, export, import or delete snapshots.",
        "retire": "Take a pair out of use, so that `prune` may delete it.",
        "backup": "Back the whole store up in one file, and restore it elsewhere.",
        "erasures": "Keep deletes in a file, for the day an older copy is put back.",
        "prune": "Delete retired pairs, old snapshots and files nothing needs.",
        "compact": "Merge the small files of documents and vectors.",
    },
    "Access over HTTP and for agents": {
        "token": "Create, list and revoke the tokens of the HTTP API.",
        "audit": "List what was changed over HTTP, and every change of a token.",
        "mcp": "Serve AI agents by the Model Context Protocol.",
    },
    "A first look": {
        "demo": "Run the whole story on sample data: promote, regret, roll back.",
    },
}
"""Panel -> command -> its line in `vecrollback --help`. The order is the order of the help and of the reference."""

NAMES = tuple(name for commands in PANELS.values() for name in commands)


def module_name(command: str) -> str:
    """The file of a command: `catch-up` is in `catch_up.py`."""
    return command.replace("-", "_")


def load(command: str) -> Any:
    """Import the module of a command and build the command, or the group of sub-commands, that it registers."""
    module = importlib.import_module(f"vecrollback.cli.{module_name(command)}")
    built = typer.main.get_command(module.app)
    built.name = command
    return built
