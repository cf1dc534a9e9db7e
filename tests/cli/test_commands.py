"""Each command, for people and for programs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.support import V1, V2, cli, cli_json, text, write_documents
from vecrollback import Document, connect
from vecrollback.cli.support.reference import json_shapes


def keys_promised(*path: str) -> set[str]:
    """Top-level keys of the JSON document that a command's help promises."""
    shape = re.match(r"\{(.*)\}", json_shapes()[" ".join(path)])
    assert shape is not None
    flat = shape[1]
    while (shorter := re.sub(r"[\[{][^\[\]{}]*[\]}]", "", flat)) != flat:
        flat = shorter
    return {key.split(":")[0].strip() for key in flat.split("}")[0].split(",")}


def test_init_creates_a_store_once(tmp_path: Path) -> None:
    place = tmp_path / "new"
    assert cli_json("init", "--store", place) == {"store": str(place), "created": True}
    assert cli_json("init", "--store", place) == {"store": str(place), "created": False}
    assert str(place) in text("init", "--store", place)
    assert set(cli_json("init", "--store", place)) == keys_promised("init")


def test_ingest_tells_what_it_did(store: Path, tmp_path: Path) -> None:
    path = write_documents(tmp_path / "more.jsonl", 38, 44)
    done = cli_json("ingest", path)
    assert set(done) == keys_promised("ingest")
    assert (done["read"], done["changed"], done["unchanged"]) == (6, 4, 2)
    assert "0 changed, 6 unchanged" in text("ingest", path)


def test_ingest_names_fields_and_counts_bad_rows(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"key": "x1", "body": "grapes"}\nnot json\n')
    done = cli("ingest", path, "--id-field", "key", "--text-field", "body", "--skip-bad")
    assert done.exit_code == 0
    assert f"{path}:2:" in done.stderr
    with connect(store) as opened:
        assert opened.get(["x1"])["x1"].text == "grapes"


def test_ingest_applies_changes(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "changes.jsonl"
    path.write_text('{"op": "delete", "id": "d3"}\n{"op": "upsert", "id": "d4", "text": "quince"}\n')
    assert cli_json("ingest", path, "--changes")["deleted"] == 1


def test_delete_names_ids_that_were_not_there(store: Path) -> None:
    done = cli_json("delete", "d5", "nobody")
    assert set(done) == keys_promised("delete")
    assert done["unknown"] == ["nobody"]
    assert "1 deleted" in text("delete", "d6")
    assert "d5" not in [hit["id"] for hit in cli_json("search", "apples of crate 5", "-k", "40")["hits"]]


def test_search_says_which_pair_answered(store: Path) -> None:
    found = cli_json("search", "apples of crate 7", "-k", "3", "--where", "year > 2005")
    assert set(found) == keys_promised("search")
    assert (found["pair"], found["snapshot"], found["epoch"]) == ("v2", 1, 2)
    assert len(found["hits"]) == 3
    assert set(found["hits"][0]) == {"id", "score", "text", "metadata", "chunk", "stale"}
    assert all(hit["metadata"]["year"] > 2005 for hit in found["hits"])
    said = text("search", "apples of crate 7")
    assert "d7" in said
    assert "v2@1, epoch 2" in said


def test_search_marks_stale_hits(store: Path) -> None:
    hits = {hit["id"]: hit for hit in cli_json("search", "apples of crate 1", "-k", "40")["hits"]}
    assert hits["d1"]["stale"]
    assert not hits["d7"]["stale"]
    assert "stale" in text("search", "apples of crate 1", "-k", "40")


def test_search_prints_no_control_characters(store: Path) -> None:
    with connect(store) as opened:
        opened.upsert([Document("evil", "apples \x1b[31m[bold]red\x9b")])
    text("catch-up")
    said = text("search", "apples red bold")
    assert "[bold]red" in said
    assert "\x1b" not in said
    assert "\x9b" not in said


def test_compact(store: Path) -> None:
    assert cli_json("compact", "--purge") == {"purged": True}
    assert "compacted" in text("compact")


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


def test_pairs_lists_them_as_status_does(store: Path) -> None:
    listed = cli_json("pairs")
    assert listed["pairs"] == cli_json("status")["pairs"]
    assert [pair["name"] for pair in listed["pairs"]] == ["v1", "v2"]
    assert "standby" in text("pairs")


def test_promote_tells_the_move(store: Path) -> None:
    moved = cli_json("promote", "v1", "--reason", "back to the first")
    assert set(moved) == keys_promised("promote")
    assert (moved["from"], moved["to"], moved["epoch"]) == ("v2@1", "v1@1", 3)
    assert set(moved["searchers"]) == {"expected", "acknowledged", "missing"}
    assert "live: v1@1 -> v2@1" in text("promote", "v2")


def test_rollback_switches_catches_up_and_proves(store: Path) -> None:
    moved = cli_json("rollback", "--reason", "worse answers")
    assert set(moved) == keys_promised("rollback")
    assert (moved["from"], moved["to"], moved["lag"]) == ("v2@1", "v1@1", 3)
    assert moved["caught_up"]["lag"] == 0
    assert moved["check"]["verdict"] == "pass"
    assert moved["trouble"] == ""


def test_rollback_says_so_in_words(store: Path) -> None:
    said = text("rollback", "--to", "v1", "--reason", "worse answers")
    assert "live: v2@1 -> v1@1" in said
    assert "3 changes taken in" in said
    assert "check of v1@1 (full): pass" in said


def test_rollback_without_catch_up_says_what_is_left(store: Path) -> None:
    moved = cli_json("rollback", "--reason", "worse answers", "--no-catch-up")
    assert (moved["caught_up"], moved["check"]) == (None, None)
    assert "vecrollback catch-up v2" in text("restore", "v2@1", "--reason", "no, the other", "--no-catch-up")


def test_rollback_dry_run_changes_nothing(store: Path) -> None:
    before = cli_json("status")
    plan = cli_json("rollback", "--dry-run")
    assert plan == {"target": "v1@1", "watermark": 40, "lag": 3, "checked": "pass", "dry_run": True}
    assert "v1@1" in text("rollback", "--dry-run", "--to", "v1")
    assert cli_json("status") == before


def test_restore_serves_one_exact_snapshot(store: Path) -> None:
    moved = cli_json("restore", "v1@1", "--reason", "v2 is wrong")
    assert set(moved) == keys_promised("restore")
    assert (moved["to"], moved["check"]["verdict"]) == ("v1@1", "pass")


def test_catch_up_takes_live_and_standby(store: Path) -> None:
    done = cli_json("catch-up")
    assert set(done) == keys_promised("catch-up")
    assert [(one["pair"], one["lag"]) for one in done["pairs"]] == [("v2", 0), ("v1", 0)]
    assert "v1: 0 changes" in text("catch-up", "v1")


def test_worker_once_leaves_no_lag(store: Path) -> None:
    done = cli_json("worker", "--once")
    assert set(done) == keys_promised("worker")
    assert (done["rounds"], done["caught_up"], done["failures"]) == (1, 2, 0)
    assert all(pair["lag"] == 0 for pair in cli_json("pairs")["pairs"])
    assert "rounds: 1" in text("worker", "--once")


def test_status_tells_what_serves_and_where_a_rollback_would_go(store: Path) -> None:
    state = cli_json("status")
    assert set(state) == keys_promised("status")
    assert state["alias"]["live"] == {"pair": "v2", "snapshot": 1, "epoch": 2}
    assert state["corpus"] == {"head": 43, "documents": 40}
    assert state["rollback"] == {"target": "v1@1", "reason": ""}
    needed = {"name", "state", "embedder", "fingerprint", "dimension", "snapshot", "watermark", "lag"}
    assert all(needed <= set(pair) for pair in state["pairs"])
    said = text("status")
    assert "v2@1  epoch 2" in said
    assert "3 changes behind" in said
    assert "to v1@1" in said


def test_status_says_why_no_rollback_is_possible(store: Path) -> None:
    text("rollback", "--reason", "worse answers")
    assert "quarantined (worse answers)" in text("status")
    assert cli_json("status")["rollback"]["target"] is None


def test_status_of_an_empty_store(tmp_path: Path) -> None:
    text("init", "--store", tmp_path)
    assert "nothing yet" in text("status", "--store", tmp_path)


def test_history_is_newest_first(store: Path) -> None:
    moves = cli_json("history", "--alias", "live")["moves"]
    assert all(set(move) >= {"from", "to", "reason", "actor", "at", "hash"} for move in moves)
    assert [(move["kind"], move["to"]) for move in moves] == [("promote", "v2@1"), ("promote", "v1@1")]
    assert len(cli_json("history", "--limit", "1")["moves"]) == 1
    assert "said to be better" in text("history")


def test_check_proves_a_pair(store: Path) -> None:
    report = cli_json("check", "v1", "--bound", "5%", "--confidence", "0.99")
    assert set(report) == keys_promised("check")
    assert (report["pair"], report["verdict"], report["findings"]) == ("v1", "pass", [])
    certificate = report["certificate"]
    assert set(certificate) == {"sampled", "foreign", "population", "bound", "confidence", "sensitivity"}
    assert certificate["bound"] <= 0.05
    assert certificate["confidence"] == 0.99
    assert "check of v2@1 (full): pass" in text("check")


def test_check_takes_a_sample_or_none_at_all(store: Path) -> None:
    assert cli_json("check", "--sample", "all")["certificate"]["bound"] == 0
    assert cli_json("check", "--sample", "5")["certificate"]["sampled"] == 5
    assert cli_json("check", "--quick")["certificate"] is None


def test_repair_leaves_a_sound_pair_alone(store: Path) -> None:
    done = cli_json("repair")
    assert set(done) == keys_promised("repair")
    assert done["after"] is None
    assert "nothing to repair" in text("repair")


def test_repair_mends_what_the_check_found(damaged: Path) -> None:
    assert cli_json("repair", "v1", "--dry-run", code=1)["after"] is None
    done = cli_json("repair", "v1")
    assert done["before"]["verdict"] == "fail"
    assert done["after"]["verdict"] == "pass"
    assert text("check", "v1")


def test_snapshots_are_made_named_shown_and_deleted(store: Path) -> None:
    taken = cli_json("snapshot", "create", "v1")
    assert set(taken) == keys_promised("snapshot", "create")
    assert taken["ref"] == "v1@2"
    assert cli_json("snapshot", "tag", "v1@1", "first") == {"tag": "first", "ref": "v1@1"}
    listed = cli_json("snapshot", "list", "v1")["snapshots"]
    assert [(one["ref"], one["tags"]) for one in listed] == [("v1@1", ["first"]), ("v1@2", [])]
    assert "first" in text("snapshot", "list")
    shown = cli_json("snapshot", "show", "first")
    assert (shown["ref"], shown["contents"]["embedder"]) == ("v1@1", V1)
    assert "fingerprint" in text("snapshot", "show", "v1@2")
    assert cli("snapshot", "delete", "v1@1").exit_code == 3
    assert cli_json("snapshot", "untag", "first") == {"tag": "first"}
    assert cli_json("snapshot", "delete", "v1@1") == {"deleted": "v1@1"}
    assert "took v1@3" in text("snapshot", "create", "v1", "--rebuild")


def test_a_snapshot_travels_to_another_store_in_one_file(store: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "v1.bundle"
    written = cli_json("snapshot", "export", "v1@1", bundle)
    assert set(written) == keys_promised("snapshot", "export")
    assert (written["snapshot"], written["bytes"]) == ("v1@1", bundle.stat().st_size)
    assert "wrote v1@1" in text("snapshot", "export", "v1@1", tmp_path / "again.bundle")
    other = tmp_path / "other"
    text("init", "--store", other)
    text("ingest", write_documents(tmp_path / "documents.jsonl", 0, 40), "--store", other)
    taken = cli_json("snapshot", "import", bundle, "--name", "moved", "--store", other)
    assert set(taken) == keys_promised("snapshot", "import")
    assert taken["pair"] == "moved"
    assert "moved@1" in text("snapshot", "import", bundle, "--name", "moved", "--store", other)


def test_no_file_is_no_bundle(store: Path, tmp_path: Path) -> None:
    assert cli_json("snapshot", "import", tmp_path / "none", code=2)["error"]["type"] == "BundleError"


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


def test_demo_gives_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Path | None, bool]] = []

    def run_demo(*, keep: Path | None, as_json: bool) -> int:
        calls.append((keep, as_json))
        return 1

    monkeypatch.setitem(sys.modules, "vecrollback.cli.demo_story", SimpleNamespace(run_demo=run_demo))
    assert cli("demo", "--keep", tmp_path, "--json").exit_code == 1
    assert calls == [(tmp_path, True)]


def test_version(store: Path) -> None:
    assert re.fullmatch(r"\d+\.\d+.*\n", text("--version"))
