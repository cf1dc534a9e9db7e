"""`trust`: a folder's vecrollback.toml counts on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import cli, cli_json, keys_promised, refusal


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VECROLLBACK_TRUST")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_a_folder_is_trusted_and_no_longer(here: Path) -> None:
    (here / "vecrollback.toml").write_text("[gates]\npromote = ['lag = 0']\n")
    error = refusal("gates", "v1", code=3)
    assert error["type"] == "UntrustedError"
    assert f"vecrollback trust {here}" in error["hint"]
    assert cli_json("trust") == {"trusted": [str(here)]}
    assert set(cli_json("trust", "--list")) == keys_promised("trust")
    assert "lag = 0" in cli("gates", "v1").stdout
    assert cli_json("trust", here, "--remove") == {"trusted": []}
    refusal("gates", "v1", code=3)


def test_a_folder_that_is_not_there_is_not_trusted(here: Path) -> None:
    assert "does not exist" in refusal("trust", here / "list", code=2)["message"]
    assert cli_json("trust", "--list") == {"trusted": []}
    assert cli("trust", here).stdout == f"{here} is trusted from now on\n"
