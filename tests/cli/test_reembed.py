"""`reembed`: a pair is built."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text
from vecrollback import connect


def test_reembed_builds_a_pair_and_is_a_no_op_afterwards(store: Path) -> None:
    command = ("reembed", "hash:32?seed=3", "--name", "v3", "--settings", '{"threshold": 0.4}')
    built = cli_json(*command)
    assert set(built) == keys_promised("reembed")
    assert (built["name"], built["state"], built["dimension"], built["lag"]) == ("v3", "ready", 32, 0)
    assert built["already"] is False
    assert cli_json(*command)["already"] is True
    assert "finished before" in text(*command)
    with connect(store) as opened:
        assert opened.pair("v3").settings == {"threshold": 0.4}


def test_reembed_promotes_unless_live_already(store: Path) -> None:
    command = ("reembed", "hash:64?seed=3", "--name", "v3", "--promote", "--reason", "better")
    assert cli_json(*command)["promoted"]["to"] == "v3@1"
    again = cli_json(*command)
    assert again["promoted"] is None
    assert again["state"] == "live"
