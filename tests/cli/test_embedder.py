"""`embedder`: shown, and declared equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import V1, V2, cli_json, keys_promised, text


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
