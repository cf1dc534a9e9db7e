"""`embedder`: shown, and declared equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import V1, V2, cli_json, keys_promised, text
from tests.support.provider_servers import MOST_TEXTS, ProviderServer


def test_embedder_show_needs_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = cli_json("embedder", "show", V1)
    assert set(shown) == keys_promised("embedder", "show")
    assert shown["dimension"] == shown["contract"]["dimension"] == 64
    assert shown["fingerprint"] in text("embedder", "show", V1)


def test_embedder_equate_declares_only_what_the_probes_confirm(store: Path) -> None:
    same = cli_json("embedder", "equate", "v1", V1)
    assert set(same) == keys_promised("embedder", "equate")
    assert same["cosine"] > 0.9999
    assert cli_json("embedder", "equate", "v1", V2, code=3)["error"]["type"] == "EmbedderChangedError"
    assert "one model" in text("embedder", "equate", "v1", V1)


def test_embedder_try_measures_and_writes_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ProviderServer("tei") as server:
        spec = f"service:m?protocol=tei&base_url={server.address}"
        measured = cli_json("embedder", "try", spec, "--write", "local", "--longest", "4096", "--texts", "200")
        assert set(measured) == keys_promised("embedder", "try")
        assert (measured["texts"], measured["beyond"], measured["symmetric"]) == (MOST_TEXTS, "refused", True)
        assert measured["profile"] in Path("vecrollback.toml").read_text()
        assert cli_json("embedder", "show", "profile:local")["contract"]["too_long"] == "cut"
        shown = text("embedder", "try", "profile:local", "--longest", "4096", "--texts", "200")
        assert "longer ones are refused" in shown
        assert "the same vectors" in shown
        assert cli_json("embedder", "try", "hash:8", "--write", "x", code=2)["error"]["type"] == "EmbedderSpecError"
