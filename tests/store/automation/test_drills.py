"""A drill rehearses everything and touches nothing; with chaos it has to come to the right verdict.

Covers store.automation.drills, store.automation.runbook, store.automation.operated_store.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.cli.support import cli, cli_json
from tests.support.operations import prepare_releases
from vecrollback import Store
from vecrollback.errors import UsageError
from vecrollback.records import Drill
from vecrollback.store.automation.drills import CHAOS, overdue
from vecrollback.store.automation.worker import Worker
from vecrollback.switching.policy import Policy
from vecrollback.switching.policy.model import DrillSettings, Objectives


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    prepare_releases(root, 60)
    return root


def serving(store: Store) -> Any:
    """Everything that a query or a rollback depends on."""
    status = store.status()
    return status["alias"], [(pair["name"], pair["state"], pair["snapshot"]) for pair in status["pairs"]]


def files(root: Path) -> list[Path]:
    """All files but those that can be derived again, and those of locks, which stay when they are free."""
    return sorted(path for path in root.rglob("*") if not {"cache", "locks"} & set(path.parts))


def step(drill: Drill, name: str) -> Any:
    return next(one for one in drill.phases if one.name == name)


@pytest.mark.usefixtures("plain_processes")
def test_a_drill_rehearses_every_step_and_leaves_live_alone(store: Store) -> None:
    before, moves = serving(store), store.history(alias="live")
    drill = store.drill()
    assert drill.verdict == "pass", drill
    assert [one.name for one in drill.phases] == [
        "decide",
        "model",
        "searchers ready",
        "switch",
        "first right answer",
        "catch-up",
        "check",
        "whole",
        "bundle",
        "restore elsewhere",
    ]
    assert (step(drill, "switch").limit, step(drill, "whole").limit) == (60.0, 300.0)
    assert "of 2 searchers" in step(drill, "switch").said
    assert "3 changes" in step(drill, "catch-up").said
    assert (drill.source, drill.target) == ("v2@1", "v1@1")
    assert (serving(store), store.history(alias="live")) == (before, moves)
    assert store.incidents.all() == []
    assert store.drills() == [drill]
    performance = store.incidents.performance()
    assert (performance.drill_rate, performance.drilled_rate) == (1.0, 1.0)


@pytest.mark.slow
def test_a_drill_that_misses_its_objective_fails(store: Store) -> None:
    drill = store.drill(policy=Policy(objectives=Objectives(switch=1e-9)))
    assert drill.verdict == "fail"
    assert not step(drill, "switch").ok
    assert step(drill, "check").ok


def test_a_drill_finds_that_there_is_no_way_back(store: Store) -> None:
    [snapshot] = store.snapshots("v1")
    (store.root / "artifacts" / snapshot.manifest).unlink()
    drill = store.drill()
    assert drill.verdict == "fail"
    assert "no pair is fit to roll back to" in drill.said
    assert store.status()["alias"].keys() <= {"live", "candidate"}


def test_a_drill_where_nothing_is_live_is_unknown(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path, create=True) as store:
        assert store.drill().verdict == "unknown"
        with pytest.raises(UsageError, match="'lunch' is not a valid kind of chaos"):
            store.drill("lunch")


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind == "searcher-hung" else pytest.param(kind, marks=pytest.mark.slow)
        for kind in sorted(CHAOS.keys() - {"bad-pair"})  # it breaks nothing that a rollback goes to; see below
    ],
)
def test_chaos_of_each_kind_ends_with_the_right_verdict(root: Path, store: Store, kind: str) -> None:
    before = serving(store), store.history(), files(root)
    drill = store.drill(kind)
    assert drill.verdict == "pass", drill
    assert {"copy", "switch", "first right answer", "check"} <= {one.name for one in drill.phases}
    expected = "fail" if kind == "foreign-vectors" else "pass"
    assert step(drill, "check").said == f"the check says {expected}"
    after = serving(store), store.history(), files(root)
    assert after == before
    assert not list((root / "cache").glob("drill-*"))
    assert store.check("v1").verdict == "pass"


def test_a_bad_pair_is_planted_in_a_copy_and_the_policy_of_the_store_has_to_notice_it(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text("[policy]\n[[policy.metric]]\nsource = 'standout'\n")
    before = serving(store), store.history()
    drill = store.drill("bad-pair")
    assert drill.verdict == "pass", drill
    assert "this policy would have rolled back after" in drill.said
    assert step(drill, "policy").said.startswith("rollback ")
    assert "standout" in step(drill, "policy").said
    assert step(drill, "switch").ok
    assert (serving(store), store.history()) == before
    assert not list((root / "cache").glob("drill-*"))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("", "no policy watches this store"),
        ("[policy]\n[[policy.metric]]\nsource = 'lag'\n", "this policy would not have noticed the bad pair"),
        ("[policy]\n[[policy.metric]]\nsource = 'standout'\naction = 'alert'\n", "would only have told people"),
    ],
)
def test_a_policy_that_would_not_act_on_a_bad_pair_fails_the_drill(
    root: Path, store: Store, policy: str, said: str
) -> None:
    if policy:
        (root / "vecrollback.toml").write_text(policy)
    drill = store.drill("bad-pair")
    assert drill.verdict == "fail"
    assert said in drill.said
    assert store.live().name == "v2"


def test_a_drill_is_due_after_a_promote_and_after_its_time(store: Store) -> None:
    forgetful = Policy(drills=DrillSettings(every=1e-9, after_promote=False))
    eager = Policy(drills=DrillSettings(after_promote=True))
    assert overdue(store, eager) == "v2@1 was promoted"
    assert overdue(store, Policy()) == "the last one was never"
    store.drill()
    assert overdue(store, eager) == ""
    assert overdue(store, forgetful).startswith("the last one was 20")


def test_a_worker_runs_the_drill_after_a_promote_by_itself(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text("[policy.drills]\nafter_promote = true\n")
    Worker(store).run_once()
    [drill] = store.drills()
    assert (drill.verdict, drill.epoch) == ("pass", 2)
    Worker(store).run_once()
    assert len(store.drills()) == 1


def test_a_worker_tells_once_that_a_drill_is_overdue(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text(
        "[policy.drills]\nevery = '1ms'\n[[policy.notify]]\nkind = 'command'\ncommand = ['true']\n"
    )
    worker = Worker(store)
    worker.run_once()
    worker.run_once()
    assert [notice.body["text"] for notice in store.notices.all()] == ["a drill is overdue: the last one was never"]


def test_drills_on_the_command_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECROLLBACK_STORE", str(root))
    done = cli("drill", "--chaos", "searcher-hung")
    assert done.exit_code == 0, done.output
    assert "named as missing" in done.stdout
    assert cli_json("drill", "--list")["drills"][0]["chaos"] == "searcher-hung"
    assert cli("drill", "--chaos", "lunch").exit_code == 2


# -- runbook ----------------------------------------------------------------------------------------------------------


def test_every_command_of_the_runbook_can_be_typed_as_it_stands(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text(
        "[policy.contacts]\n'on call' = '+49 30 1234'\n[policy.authority]\nrestore_approvals = 2\n"
    )
    written = store.runbook()
    assert "| live | `v2@1`, epoch 2 |" in written
    assert "| a rollback goes to | `v1@1` |" in written
    assert "| on call | +49 30 1234 |" in written
    assert "2 different people approve it" in written
    commands = [line for block in re.findall(r"```sh\n(.*?)```", written, re.DOTALL) for line in block.splitlines()]
    assert len(commands) > 8
    for command in sorted(commands, key=lambda one: " drill" not in one):  # after the rollback there is no way back
        name, *arguments = shlex.split(command)
        assert name == "vecrollback"
        done = cli(*arguments)
        assert done.exit_code == 0, (command, done.output)
    assert store.live().name == "v1"
    after = store.runbook()
    assert "| switch |" in after
    assert "| a rollback goes to | nowhere: " in after


def test_the_runbook_of_an_empty_store_says_so(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path, create=True) as store:
        written = store.runbook()
    assert "| live | nothing yet |" in written
    assert "Never. Do it now" in written
