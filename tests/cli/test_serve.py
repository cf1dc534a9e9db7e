"""`serve`: the same store over HTTP."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.cli.support import cli_json, keys_promised, refusal, start


def answer(url: str) -> Any:
    """What the server says, once it answers: the port is taken before the models are loaded."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return json.load(response)
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_it_says_where_it_listens_answers_and_ends_on_sigterm(store: Path) -> None:
    with start("serve", "--port", "0", "--json") as process:
        try:
            assert process.stdout is not None
            listening = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
            assert set(listening) == keys_promised("serve")
            assert answer(f"{listening['url']}/v1/status")["alias"] == cli_json("status")["alias"]
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0


def test_it_says_serving_when_it_listens_and_loading_until_then(store: Path, tmp_path: Path) -> None:
    told = tmp_path / "systemd"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(told))
        supervisor.settimeout(60)
        with start("serve", "--port", "0", "--workers", "2", env={"NOTIFY_SOCKET": str(told)}) as process:
            try:
                assert process.stdout is not None
                loading, serving = process.stdout.readline(), process.stdout.readline()
                assert loading.startswith("loading the models; it will serve at http://")
                assert serving.startswith("serving at http://")
                url = serving.split()[-1]
                assert loading.split()[-1] == url
                with urllib.request.urlopen(f"{url}/v1/status", timeout=30) as response:  # at once, no second try
                    assert json.load(response)["alias"] == cli_json("status")["alias"]
                assert supervisor.recv(100) == b"READY=1"
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)
            finally:
                process.kill()


def test_other_hosts_are_not_served_without_a_token(store: Path) -> None:
    assert "token create" in refusal("serve", "--host", "0.0.0.0", "--port", "0", code=2)["hint"]
