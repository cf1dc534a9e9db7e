"""The dashboard for Grafana and the alerts for Prometheus name what a server exports, and fire on what one gave."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.http_server import V1, V2, build, serving
from vecrollback import connect

yaml = pytest.importorskip("yaml", reason="needs PyYAML: pip install 'vecrollback[dev]'")

_OPS = Path(__file__).parents[2] / "ops"
_RULES = _OPS / "prometheus" / "vecrollback.rules.yml"
_NAME = re.compile(r"\bvecrollback_\w+")
_SUFFIX = re.compile(r"_(?:total|bucket|sum|count)$")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What /metrics says of a store in trouble: rolled back, a move that waits, frozen, a policy that sees nothing."""
    root = build(tmp_path_factory.mktemp("monitored") / "store", V1, V2)
    (root / "vecrollback.toml").write_text("[policy]\ninterval = '200ms'\n[[policy.metric]]\nsource = 'standout'\n")
    with connect(root, actor="anna") as store:
        store.drill()
        store.rollback(reason="worse answers")
        store.approvals.ask("rollback", None, reason="again", actor="policy")
        store.freezes.freeze("release day", actor="anna")
        with serving(root) as server:
            server.post("/v1/search", {"queries": ["apples", "pears"], "k": 60})
            server.post("/v1/search", {"query": "a", "where": "wrong >"})
            for _ in range(200):
                text = server.get("/metrics").text
                if "vecrollback_policy_phase{" in text:
                    return text
    raise AssertionError("the policy never measured anything")


def _families(text: str) -> set[str]:
    return {family.name for family in text_string_to_metric_families(text)}


def _strings(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [one for value in node.values() for one in _strings(value)]
    if isinstance(node, list):
        return [one for value in node for one in _strings(value)]
    return [node] if isinstance(node, str) else []


@pytest.mark.parametrize("file", [_RULES, _OPS / "grafana" / "vecrollback.json"], ids=lambda path: path.name)
def test_every_number_that_is_named_is_one_that_a_server_exports(recorded: str, file: Path) -> None:
    content = yaml.safe_load(file.read_text())  # JSON is YAML
    exported = _families(recorded)
    named = {name for text in _strings(content) for name in _NAME.findall(text)}
    assert len(named) > 5
    assert {name for name in named if _SUFFIX.sub("", name) not in exported} == set()


def test_the_dashboard_says_each_thing_once_and_leaves_no_gap(recorded: str) -> None:
    dashboard = json.loads((_OPS / "grafana" / "vecrollback.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["title"] for panel in panels}) == len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["targets"] and all(one["expr"] for one in panel["targets"]) for panel in panels)
    places = {
        (x, y)
        for one in (panel["gridPos"] for panel in panels)
        for x in range(one["x"], one["x"] + one["w"])
        for y in range(one["y"], one["y"] + one["h"])
    }
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in panels)
    assert len(places) == 24 * max(y + 1 for _, y in places)


def test_each_alert_says_what_to_press_and_what_to_type() -> None:
    [group] = yaml.safe_load(_RULES.read_text())["groups"]
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}
    covered = yaml.safe_load(_RULES.with_suffix(".test.yml").read_text())["tests"]
    tried = {one["alertname"] for test in covered for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert tried == {rule["alert"] for rule in group["rules"]}


def _promtool(*arguments: str | Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("needs promtool: apt-get install prometheus")
    done = subprocess.run([tool, *map(str, arguments)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_fire_on_the_series_that_are_shipped_with_them() -> None:
    _promtool("check", "rules", _RULES)
    _promtool("test", "rules", _RULES.with_suffix(".test.yml"))


def test_the_rules_fire_on_what_a_server_in_trouble_said(recorded: str, tmp_path: Path) -> None:
    series = []
    for family in text_string_to_metric_families(recorded):
        for sample in family.samples:
            labels = ", ".join(f"{name}={json.dumps(value)}" for name, value in sample.labels.items())
            series.append({"series": f"{sample.name}{{{labels}}}", "values": f"{sample.value:g}x1600"})
    [group] = yaml.safe_load(_RULES.read_text())["groups"]
    rules = {rule["alert"]: rule for rule in group["rules"]}
    fires = {
        "VecrollbackApprovalWaits": ("5m", {}),
        "VecrollbackPolicyBlind": ("40m", {"metric": "standout"}),
        "VecrollbackForgottenFreeze": ("25h", {}),
    }
    expected = [
        {
            "eval_time": at,
            "alertname": name,
            "exp_alerts": [
                {
                    "exp_labels": {"severity": rules[name]["labels"]["severity"], **labels},
                    "exp_annotations": {
                        key: text.replace("{{ $labels.metric }}", labels.get("metric", ""))
                        for key, text in rules[name]["annotations"].items()
                    },
                }
            ],
        }
        for name, (at, labels) in fires.items()
    ]
    quiet = [
        {"eval_time": "40m", "alertname": name, "exp_alerts": []}
        for name in ("VecrollbackQueriesFail", "VecrollbackCatalogLost", "VecrollbackNoSearcher")
    ]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": expected + quiet}
    file = tmp_path / "recorded.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(_RULES)], "evaluation_interval": "1m", "tests": [test]}))
    _promtool("test", "rules", file)
