"""A user who may only read, and one `sudo vecrollback`: real users of this machine, and their rights.

Covers storage.local.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import V1, V2, cli, half_done
from tests.support import other_user
from tests.support.other_user import READER, SERVICE, place_for, run_as
from vecrollback import Document, connect
from vecrollback.errors import CatalogUnavailableError
from vecrollback.storage.local import give_to_owner

pytestmark = pytest.mark.skipif(not other_user.available(), reason="needs root, unshare and setpriv")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of root's that holds a store which everybody may read."""
    with place_for(0) as folder:
        (folder / "store").mkdir()
        (folder / "store").chmod(0o755)  # one that is there stays as it is
        half_done(folder / "store")
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)
        yield folder


def everything_in(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))}


def test_who_may_only_read_searches_checks_and_exports(place: Path) -> None:
    at = ["--store", str(place / "store"), "--json"]
    bundle, history = str(place / "out" / "v1.bundle"), str(place / "out" / "history.json")
    before = everything_in(place / "store")
    outcomes = run_as(
        READER,
        ["status", *at],
        ["search", "apples", *at],
        ["check", "v1", *at],
        ["pairs", *at],
        ["history", *at],
        ["snapshot", "export", "v1@1", bundle, *at],
        ["history", "export", history, *at],
        ["rollback", "--reason", "x", *at],
        ["delete", "d1", *at],
        ["compact", *at],
        ["token", "create", "--role", "admin", *at],
    )
    assert [code for code, _ in outcomes[:7]] == [0] * 7, outcomes
    assert "d0" in outcomes[1][1] or "d3" in outcomes[1][1]
    assert '"verdict": "pass"' in outcomes[2][1]
    for code, said in outcomes[7:]:
        assert code in (1, 3), said
        assert "this user may only read the store" in said, said
        assert "Traceback" not in said
    assert everything_in(place / "store") == before
    with connect(place / "other", create=True) as other:
        assert other.import_snapshot(bundle).ref == "v1@1"
    for exported in (bundle, history):
        assert stat.S_IMODE(os.stat(exported).st_mode) == 0o600  # it holds texts, or names


def test_who_may_only_read_sees_what_others_write_meanwhile(place: Path) -> None:
    at = ["--store", str(place / "store"), "--json"]
    with connect(place / "store", actor="writer") as store:  # the catalog is open for writing: it has its log beside it
        store.upsert([Document("mango", "mangoes of the south")])
        store.catch_up("v2")
        [(code, said)] = run_as(READER, ["search", "mangoes of the south", *at])
        assert code == 0, said
        assert '"mango"' in said
    with connect(place / "store", actor="writer") as store:
        store.delete(["mango"])
    [(code, said)] = run_as(READER, ["search", "mangoes of the south", *at])
    assert code == 0, said
    assert '"mango"' not in said


def test_a_moment_that_moved_while_it_was_read_without_locks_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vecrollback.catalog.databases import sqlite

    monkeypatch.setattr(sqlite, "may_write", lambda _: False)
    with connect(place / "store", actor="reader") as reading:
        monkeypatch.undo()
        database = reading.resources.catalog._database
        with (
            pytest.raises(CatalogUnavailableError, match="changed while it was read"),
            database.read(),
            connect(place / "store", actor="writer") as writing,
        ):
            writing.delete(["d3"])
        assert not any(reading.get(["d3"]))  # the next transaction opens it anew


def test_one_sudo_does_not_break_the_service(place: Path) -> None:
    with place_for(SERVICE) as own:
        at = ["--store", str(own / "store"), "--json"]
        rows = own / "rows.jsonl"
        rows.write_text("".join(json.dumps({"id": f"d{n}", "text": f"note {n} on apples"}) + "\n" for n in range(20)))
        assert [code for code, _ in run_as(SERVICE, ["init", *at], ["ingest", str(rows), *at])] == [0, 0]
        before = os.umask(0o077)
        try:
            for command in (
                ["reembed", V1, "--name", "v1"],
                ["promote", "v1", "--reason", "first"],
                ["search", "apples"],
                ["delete", "d1"],
                ["catch-up", "v1"],
                ["compact", "--purge"],
            ):
                done = cli(*command, *at)
                assert done.exit_code == 0, done.output
        finally:
            os.umask(before)
        assert [path for path in (own / "store").rglob("*") if path.lstat().st_uid != SERVICE] == []
        outcomes = run_as(
            SERVICE,
            ["search", "apples", *at],
            ["ingest", str(rows), *at],
            ["catch-up", "v1", *at],
            ["reembed", V2, "--name", "v2", *at],
            ["promote", "v2", "--reason", "second", *at],
            ["rollback", "--reason", "worse", *at],
            ["compact", "--purge", *at],
            ["check", "v1", *at],
        )
        assert [code for code, _ in outcomes] == [0] * 8, outcomes


def test_root_gives_away_nothing_that_lies_elsewhere() -> None:
    with place_for(SERVICE) as own, place_for(0) as other:
        secret = other / "secret"
        secret.write_text("of root")
        (own / "link").symlink_to(secret)
        (own / "twin").hardlink_to(secret)
        os.mkfifo(own / "pipe")
        (own / "plain").write_text("made by root")
        (own / "folder").symlink_to(other)
        for name in ("link", "twin", "pipe", "plain", "folder", "folder/secret", "nothing"):
            give_to_owner(own / name)
        assert secret.stat().st_uid == 0
        assert other.stat().st_uid == 0
        assert (own / "pipe").stat().st_uid == 0
        assert (own / "plain").stat().st_uid == SERVICE


def test_a_new_store_keeps_others_out_and_lets_its_group_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        half_done(tmp_path / "store")
        with connect(tmp_path / "store") as store:
            store.search("apples")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o750
    closed = [
        path
        for path in (tmp_path / "store").rglob("*")
        if not path.stat().st_mode & (0o050 if path.is_dir() else 0o040) and path.name != "reserve"
    ]
    assert closed == []
