"""`mcp`: agents are served over the standard streams, or on a port."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.support import keys_promised, refusal, start

_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def test_stdout_holds_the_protocol_and_nothing_else_and_it_ends_with_its_client(store: Path) -> None:
    with start("mcp") as process:
        out, err = process.communicate(json.dumps(_HELLO) + "\n", timeout=60)
    assert process.returncode == 0, err
    [answer] = [json.loads(line) for line in out.splitlines()]
    assert answer["result"]["serverInfo"]["name"] == "vecrollback"


def test_it_says_where_it_listens(store: Path) -> None:
    with start("mcp", "--http", "--port", "0", "--json") as process:
        assert process.stdout is not None
        listening = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        process.terminate()
        assert process.wait(30) == 0
    assert set(listening) == keys_promised("mcp")
    assert listening["url"].endswith("/mcp")


def test_other_machines_are_not_served_without_a_token(store: Path) -> None:
    assert "token create" in refusal("mcp", "--http", "--host", "0.0.0.0", "--port", "0", code=2)["hint"]
