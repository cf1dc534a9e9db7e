"""`serve`: the same store over HTTP."""

from __future__ import annotations

import json
import signal
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


def test_other_hosts_are_not_served_without_a_token(store: Path) -> None:
    assert "token create" in refusal("serve", "--host", "0.0.0.0", "--port", "0", code=2)["hint"]
