"""Ctrl-C and SIGTERM end long work after its batch; the same command goes on.

Covers cli.support.progress.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import cli_json, shell, start, text, write_documents

_SLOW = """
import os, time
import numpy as np

def embed(texts):
    if len(texts) > 100:
        time.sleep(float(os.environ["EMBED_SECONDS"]))
        with open(os.environ["EMBED_LOG"], "a") as log:
            log.write("".join(text + "\\n" for text in texts))
    return np.array([[len(t) + 1, sum(map(ord, t)) % 997 + 1, t.count("1") + 1, 1] * 2 for t in texts], np.float32)
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store of 1,500 documents, an embedder that takes its time, and the log of what it embedded."""
    (tmp_path / "slow_model.py").write_text(_SLOW)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    monkeypatch.setenv("VECROLLBACK_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("EMBED_LOG", str(tmp_path / "embedded"))
    monkeypatch.setenv("EMBED_SECONDS", "1")
    text("init")
    text("ingest", write_documents(tmp_path / "documents.jsonl", 0, 1500))
    yield tmp_path / "embedded"


def interrupt(*arguments: str, when: Path, number: int = signal.SIGINT) -> subprocess.CompletedProcess[str]:
    """Run a command and send it a signal while it embeds."""
    with start(*arguments) as process:
        deadline = time.monotonic() + 30
        while not when.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert when.exists(), process.communicate()
        time.sleep(0.3)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_reembed_exits_4_and_the_same_command_finishes(
    slow: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("reembed", "slow_model:embed", "--name", "v1")
    done = interrupt(*command, when=slow, number=number)
    assert done.returncode == 4, done.stderr
    assert "error: stopped" in done.stderr
    assert "the same command goes on where it stopped" in done.stderr
    [job] = cli_json("status")["jobs"]
    assert (job["kind"], job["state"]) == ("reembed", "cancelled")
    monkeypatch.setenv("EMBED_SECONDS", "0")
    finished = shell(*command, "--json")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["lag"] == 0
    # without the probes, a few of which ride along with every batch
    embedded = [text for text in slow.read_text().splitlines() if text.startswith("apples")]
    assert len(embedded) == 1500
    assert len(embedded) == len(set(embedded)), "a finished batch was embedded again"


def test_interrupt_under_json_is_one_document(slow: Path) -> None:
    done = interrupt("--json", "reembed", "slow_model:embed", "--name", "v1", when=slow)
    assert done.returncode == 4
    assert json.loads(done.stdout)["error"] == {
        "type": "JobCancelledError",
        "message": "stopped",
        "hint": "the same command goes on where it stopped",
    }


def test_a_second_interrupt_ends_it_at_once(slow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_SECONDS", "20")
    with start("reembed", "slow_model:embed", "--name", "v1") as process:
        assert process.stderr is not None
        while not cli_json("status")["jobs"]:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert "once more to stop at once" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode == 4
    monkeypatch.setenv("EMBED_SECONDS", "0")
    assert shell("reembed", "slow_model:embed", "--name", "v1").returncode == 0


def test_a_second_interrupt_of_a_rollback_is_told_not_to_type_it_again(
    slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The move is made by then: the same command would go back once more, to the pair before that."""
    monkeypatch.setenv("EMBED_SECONDS", "0")
    for name in ("v1", "v2"):
        assert shell("reembed", "slow_model:embed", "--name", name, "--promote").returncode == 0
    text("ingest", write_documents(tmp_path / "more.jsonl", 5000, 6000))
    slow.unlink()
    monkeypatch.setenv("EMBED_SECONDS", "20")
    with start("rollback", "--reason", "v2 is bad", "--json") as process:
        assert process.stderr is not None
        while not any(job["kind"] == "catch-up" for job in cli_json("status")["jobs"]):
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        while "once more to stop at once" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=10)
    assert process.returncode == 4
    hint = json.loads(out)["error"]["hint"]
    assert "`vecrollback status` shows what is live now" in hint
    assert "the same command would move once more" in hint
    assert cli_json("status")["alias"]["live"]["pair"] == "v1"


def test_interrupted_promote_leaves_the_pointer(slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_SECONDS", "0")
    assert shell("reembed", "slow_model:embed", "--name", "v1").returncode == 0
    text("ingest", write_documents(tmp_path / "more.jsonl", 5000, 6000))
    slow.unlink()
    monkeypatch.setenv("EMBED_SECONDS", "1")
    done = interrupt("promote", "v1", when=slow)
    assert done.returncode == 4, done.stderr
    assert cli_json("status")["alias"] == {}


def test_worker_ends_cleanly_on_sigterm(store: Path) -> None:
    with start("worker", "--interval", "0.1", "--json") as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "started" in lines[0]
    assert "catch-up of v2: 3 changes" in lines[1]
    assert "catch-up of v1: 3 changes" in lines[2]
    assert json.loads(out)["caught_up"] == 2
