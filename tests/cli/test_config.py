"""`config`: what counts here, where it comes from, and no secret.

Covers storage.effective_config.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import cli_json, keys_promised, refusal, text

FILE = """
store = "here"
cache_size = "500MB"
[gates]
promote = ["lag = 0", "ndcg@10 >= 0.9"]
[policy]
interval = "5s"
[[policy.notify]]
kind = "webhook"
url = "https://hooks.example.com/services/T000/B000/XXXX"
[[policy.notify]]
kind = "email"
host = "mail.example.com"
to = ["a@example.com"]
password_env = "MAIL_PASSWORD"
[embedder.mine]
base_url = "http://127.0.0.1:9/v1"
[embedder.mine.header]
Authorization = "Bearer hunter4"
X-Api-Key = "hunter5"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a file, which is trusted, and nothing in the environment."""
    for name in ("STORE", "CATALOG", "ACTOR", "CACHE", "CACHE_SIZE", "KEEP_MODEL_LIMIT"):
        monkeypatch.delenv(f"VECROLLBACK_{name}", raising=False)
    monkeypatch.setenv("VECROLLBACK_TRUST", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vecrollback.toml").write_text(FILE)
    return tmp_path


def shown(*options: str) -> dict[str, tuple[str, str]]:
    body = cli_json("config", "show", *options)
    assert set(body) == keys_promised("config", "show")
    return {one["name"]: (one["value"], one["origin"]) for one in body["settings"]}


def test_each_value_names_where_it_comes_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(folder / "vecrollback.toml")
    settings = shown()
    assert settings["store"] == ("here", file)
    assert settings["cache_size"] == ("500MB", file)
    assert settings["keep_model_limit"] == ("4GiB", "default")
    assert settings["gates.promote"] == ("lag = 0, ndcg@10 >= 0.9", file)
    assert settings["policy.interval"] == ("5s", file)
    monkeypatch.setenv("VECROLLBACK_STORE", "there")
    assert shown()["store"] == ("there", "VECROLLBACK_STORE")
    assert shown("--store", "elsewhere")["store"] == ("elsewhere", "--store")


def test_no_secret_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECROLLBACK_CATALOG", "postgresql://me:hunter2@db/app?sslpassword=hunter6&password=hunter3")
    said = text("config", "show")
    for secret in ("hunter2", "hunter3", "hunter4", "hunter5", "hunter6", "T000"):
        assert secret not in said
    settings = shown()
    assert settings["catalog"][0].startswith("postgresql://me:***@db/app")
    assert settings["policy.notify.1.url"][0] == "***"
    assert settings["embedder.mine.header.Authorization"][0] == settings["embedder.mine.header.X-Api-Key"][0] == "***"
    assert settings["policy.notify.2.password_env"][0] == "MAIL_PASSWORD"


def test_a_folder_that_is_not_trusted_is_told_as_that_and_a_wrong_file_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VECROLLBACK_TRUST")
    assert shown()["[policy]"][0].startswith("not read: ")
    (folder / "vecrollback.toml").write_text("stor = 'here'\n")
    assert "unknown key 'stor'" in refusal("config", "show", code=2)["message"]
