"""The reference page is what the commands say."""

from __future__ import annotations

from vecrollback.cli.support.reference import PAGE, json_shapes, page


def test_the_committed_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m vecrollback.cli.support.reference`"


def test_every_command_promises_its_json() -> None:
    assert {"init", "reembed", "rollback", "snapshot import", "embedder equate", "demo"} <= set(json_shapes())
    assert all(json_shapes().values())
