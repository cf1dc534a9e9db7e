"""What stands in `ops/` fits the product: commands, options, extras and settings exist, and the action does its work.

No container is started here: that needs an engine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_examples import forked_commands
from vecrollback.cli.support.commands import load
from vecrollback.storage import config

yaml = pytest.importorskip("yaml", reason="needs PyYAML: pip install 'vecrollback[dev]'")

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
CHART = OPS / "helm" / "vecrollback"
DOCKERFILE = (OPS / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((OPS / "compose.yaml").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
TEMPLATES = {path.name: path.read_text() for path in (CHART / "templates").iterdir()}


def assert_valid(words: Sequence[str]) -> None:
    """The command is there, and takes these options."""
    command = load(words[0])
    known = {name for parameter in command.params for name in parameter.opts}
    given = {word.split("=")[0] for word in words[1:] if word.startswith("--")}
    assert given <= known, words


def test_the_image_runs_a_command_that_there_is_as_nobody_special() -> None:
    assert_valid(json.loads(re.findall(r"^CMD (.*)$", DOCKERFILE, re.M)[-1]))
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.M) == ["10001:10001"]
    [extras] = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M):
        assert all((ROOT / source).exists() for source in sources.split())
        ignored = (OPS / "Dockerfile.dockerignore").read_text().splitlines()
        assert all(f"!{source.removeprefix('./')}" in ignored for source in sources.split())


@pytest.mark.parametrize("name", [name for name, one in COMPOSE["services"].items() if one["image"] == "vecrollback"])
def test_compose_runs_commands_that_there_are(name: str) -> None:
    service = COMPOSE["services"][name]
    assert_valid(service["command"])
    settings = {name for name in service["environment"] if name.startswith("VECROLLBACK_")}
    assert settings <= set(re.findall(r"VECROLLBACK_\w+", Path(config.__file__).read_text()))
    assert "password" not in service["environment"]["VECROLLBACK_CATALOG"].lower()
    for needed in service.get("depends_on", {}):
        assert needed in COMPOSE["services"]


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in ("resources", "podAnnotations"):
            yield from leaves(value, f"{path}.{key}")
        else:
            yield f"{path}.{key}"


def test_every_value_of_the_chart_is_used_and_every_one_that_is_used_is_there() -> None:
    used = set(re.findall(r"\.Values((?:\.\w+)+)", "".join(TEMPLATES.values())))
    assert used == set(leaves(VALUES))


def test_the_chart_runs_commands_that_there_are_and_waits_for_what_the_server_answers() -> None:
    deployment = TEMPLATES["deployment.yaml"]
    for container, command in (("server", "serve"), ("worker", "worker")):
        args = deployment.split(f"name: {container}\n")[1].split("args:")[1].split("ports:")[0]
        words = [word.split("=")[0] for word in re.findall(r"^ +- (\S+)", args.split("resources:")[0], re.M)]
        assert words[0] == command
        assert_valid([word for word in words if not word.startswith("{{")])
    from vecrollback.server.routes.health import router

    paths = {route.path for route in router.routes}  # type: ignore[attr-defined]
    assert set(re.findall(r"httpGet: \{path: (\S+),", deployment)) <= paths
    assert "maxUnavailable: 0" in deployment


@pytest.mark.skipif(shutil.which("helm") is None, reason="needs Helm")
def test_helm_renders_the_chart_and_finds_nothing_wrong() -> None:
    given = ["--set", "store.uri=s3://vectors/search", "--set", "catalog.url=postgresql+psycopg://v@db/search"]
    subprocess.run(["helm", "lint", str(CHART), *given], check=True, timeout=60)
    done = subprocess.run(
        ["helm", "template", "search", str(CHART), *given], capture_output=True, text=True, check=True, timeout=60
    )
    kinds = {document["kind"] for document in yaml.safe_load_all(done.stdout) if document}
    assert kinds == {"Deployment", "Service", "PodDisruptionBudget", "ServiceAccount"}
    refused = subprocess.run(["helm", "template", str(CHART)], capture_output=True, text=True, check=False, timeout=60)
    assert "store.uri is where the files are" in refused.stderr


class Job:
    """A step of a job that uses the action: its inputs, as the action hands them to its script."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commands = forked_commands(folder / "bin")

    def run(self, **inputs: str) -> tuple[int, dict[str, str], str]:
        """Exit code, outputs and the summary on the job's page."""
        names = ("COMMAND", "SOURCE", "MODEL", "STORE", "PAIR", "ARGUMENTS")
        outputs, summary = self._folder / "outputs", self._folder / "summary"
        for path in (outputs, summary):
            path.write_text("")
        environment = {name: inputs.get(name.lower(), "") for name in names} | {
            "PATH": f"{self._commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RUNNER_TEMP": str(self._folder),
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_STEP_SUMMARY": str(summary),
        }
        script = ["bash", str(OPS / "action" / "run.sh")]
        done = subprocess.run(script, cwd=self._folder, env=environment, check=False, timeout=120)
        read = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
        return done.returncode, read, summary.read_text()


def test_the_action_hands_its_inputs_to_the_script_as_variables() -> None:
    action = yaml.safe_load((OPS / "action" / "action.yml").read_text())
    step = action["runs"]["steps"][-1]
    assert "${{" not in step["run"]
    assert set(step["env"].values()) == {f"${{{{ inputs.{name} }}}}" for name in action["inputs"] if name != "install"}
    subprocess.run(["bash", "-n", str(OPS / "action" / "run.sh")], check=True, timeout=10)


def test_the_action_fails_by_the_verdict(store_path: Path, tmp_path: Path) -> None:
    job = Job(tmp_path)
    code, outputs, summary = job.run(command="check", store=str(store_path), pair="v1", arguments="--sample\n5")
    assert (code, outputs["verdict"]) == (0, "pass")
    assert summary.startswith("## vecrollback check: pass")
    assert json.loads(Path(outputs["report"]).read_text())["pair"] == "v1"
    code, outputs, summary = job.run(command="check", store=str(store_path), pair="v9")
    assert (code, outputs["verdict"]) == (2, "unknown")
    assert "v9" in summary
    code, _, _ = job.run(command="prune", store=str(store_path))
    assert code == 2


def test_no_input_of_the_action_is_a_command(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    source = f"$(touch {shlex.quote(str(trap))}); touch {trap}"
    code, outputs, _ = Job(tmp_path).run(command="doctor", source=source, arguments=f"$(touch {trap})")
    assert code == 2
    assert outputs["verdict"] == "unknown"
    assert not trap.exists()
