"""`forecast`: a verdict before anything is paid."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import V2, cli_json, keys_promised, refusal, text
from tests.support.topics import documents
from vecrollback import connect


def test_forecast_tells_people_and_programs(here: Path) -> None:
    assert "a forecast needs 60" in refusal("forecast", V2, code=2)["message"]
    with connect() as store:
        store.upsert(documents(300))
        store.upsert(documents(300, seed=1), namespace="kb-7")
        for name in ("v1", "v2"):
            store.catch_up(name)
    asked = ("forecast", "hash:128", "--sample", "50%", "--seed", "1")
    found = cli_json(*asked)
    assert set(found) == keys_promised("forecast")
    said = text(*asked)
    assert {one["value"] for one in found["slices"] if one["by"] == "namespace"} == {"", "kb-7"}
    assert "namespace kb-7: " in said
    assert "namespace (none): " in said
    assert found["verdict"] in said
    assert "embedding everything: " in said
