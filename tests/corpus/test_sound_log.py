"""A damaged file of the log: nobody opens it, nobody copies it, and what it does not concern is answered as before.

Covers corpus.rescue.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import vecrollback
from tests.support.oracle import EVERYTHING, ONE
from vecrollback import Document
from vecrollback.corpus.sound_log import PartOfLog
from vecrollback.errors import CorruptArtifactError
from vecrollback.records import Result
from vecrollback.store.store import Store

KINDS = {f"d{n}": ("bicycle", "lantern")[n % 2] for n in range(24)}
TEXTS = {id_: f"note {id_} is about boats and lakes" for id_ in KINDS}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pair over a log of three files; `d20` is deleted, and no searcher has written texts down yet."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        documents = [Document(id_, TEXTS[id_], {"kind": KINDS[id_]}) for id_ in KINDS]
        store.upsert(documents[:12])
        store.upsert(documents[12:])
        store.delete(["d20"])
        store.promote(store.reembed(ONE, name="one", index="Flat").wait(), reason="first")
        store.resources.forget_texts()
    return root


def file_with(root: Path, text: bytes) -> Path:
    [path] = [p for p in (root / "tables/documents.lance/data").iterdir() if text in p.read_bytes()]
    return path


def damage_text(root: Path, id_: str) -> Path:
    """One letter of a document's text is another one."""
    text = TEXTS[id_].encode()
    path = file_with(root, text)
    data = bytearray(path.read_bytes())
    data[data.index(text) + len(f"note {id_} is about ")] ^= 0x20
    path.write_bytes(data)
    return path


def scramble(root: Path, id_: str) -> Path:
    """Nothing of the file with this document can be read."""
    path = file_with(root, TEXTS[id_].encode())
    path.write_bytes(os.urandom(path.stat().st_size))
    return path


def everything(store: Store, where: str | None = None) -> Result:
    return store.search("boats", k=EVERYTHING, where=where)


def texts(result: Result) -> dict[str, str]:
    return {hit.id: hit.text for hit in result.hits}


LIVE = {id_: text for id_, text in TEXTS.items() if id_ != "d20"}


def test_a_sound_log_is_read_as_lance_reads_it(root: Path) -> None:
    with vecrollback.connect(root) as store:
        corpus = store.resources.corpus
        log = corpus.readable(corpus.state().version)
        assert not isinstance(log.rows, PartOfLog)
        assert not log.problem
        assert texts(everything(store)) == LIVE
        assert everything(store).current


def test_a_damaged_document_is_shown_without_its_text_and_the_others_with_theirs(root: Path) -> None:
    damage_text(root, "d3")
    with vecrollback.connect(root) as store, store.searcher(follow=False) as searcher:
        answer = searcher.search("boats", k=EVERYTHING)
        assert texts(answer) == LIVE | {"d3": ""}
        assert [hit.id for hit in answer.hits if hit.stale] == ["d3"]
        assert not answer.current
        assert "1 document cannot be read (d3)" in searcher.trouble


def test_what_is_damaged_is_written_nowhere(root: Path) -> None:
    damage_text(root, "d3")
    with vecrollback.connect(root) as store:
        everything(store)
        assert not list((root / "cache").glob("documents-*"))
        assert store.check("one").verdict == "fail"


@pytest.mark.parametrize("damage", [damage_text, scramble])
def test_a_filter_matches_what_can_be_read(root: Path, damage: object) -> None:
    damage(root, "d3")  # type: ignore[operator]
    lost = {"d3"} if damage is damage_text else {f"d{n}" for n in range(12)}
    with vecrollback.connect(root) as store:
        for kind in ("bicycle", "lantern"):
            wanted = {id_: text for id_, text in LIVE.items() if KINDS[id_] == kind and id_ not in lost}
            assert texts(everything(store, f"kind = '{kind}'")) == wanted


@pytest.mark.usefixtures("plain_processes")
def test_a_file_of_which_nothing_can_be_read_takes_no_answer_away(root: Path) -> None:
    scramble(root, "d3")
    with vecrollback.connect(root) as store:
        answer = everything(store)
        assert texts(answer) == LIVE | {f"d{n}": "" for n in range(12)}
        assert not answer.current
        assert "d20" not in texts(answer)


def test_a_deleted_document_stays_hidden_when_the_file_of_its_tombstone_is_damaged(root: Path) -> None:
    newest = max((root / "tables/documents.lance/data").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(os.urandom(newest.stat().st_size))
    with vecrollback.connect(root) as store:
        assert "d20" not in texts(everything(store))


def test_a_damaged_list_of_replaced_rows_shows_none_of_them_again(root: Path) -> None:
    with vecrollback.connect(root) as store:
        store.upsert([Document("d5", "another text", {"kind": "lantern"})])
        store.catch_up("one")
        store.resources.forget_texts()
    for path in (root / "tables/documents.lance/_deletions").iterdir():
        path.write_bytes(os.urandom(path.stat().st_size))
    with vecrollback.connect(root) as store:
        shown = texts(everything(store))
        assert shown["d5"] == "another text"
        assert "d20" not in shown


def test_put_back_the_file_is_read_again_by_a_searcher_that_is_open(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecrollback.serving.open_pairs._AWAY_SECONDS", 0.0)
    path = file_with(root, TEXTS["d3"].encode())
    sound = path.read_bytes()
    damage_text(root, "d3")
    with vecrollback.connect(root) as store, store.searcher(follow=False) as searcher:
        assert not searcher.search("boats", k=1).current
        path.write_bytes(sound)
        answer = searcher.search("boats", k=EVERYTHING)
        assert (texts(answer), answer.current, searcher.trouble) == (LIVE, True, "")
        assert list((root / "cache").glob("documents-*"))


def test_texts_that_were_written_down_before_answer_whole(root: Path) -> None:
    """What is damaged afterwards is not needed: only files that came later are read."""
    with vecrollback.connect(root) as store:
        everything(store)
    scramble(root, "d3")
    with vecrollback.connect(root) as store:
        assert (texts(everything(store)), everything(store).current) == (LIVE, True)
        corpus = store.resources.corpus
        with pytest.raises(CorruptArtifactError, match="12 documents cannot be read"):
            corpus.get(["d3"], version=corpus.state().version)


def test_texts_of_a_log_that_was_whole_stay_while_it_is_damaged(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where so much has changed since that a new file of them would pay."""
    monkeypatch.setattr("vecrollback.corpus.text_cache._REBUILD_LEAST", 0)
    monkeypatch.setattr("vecrollback.corpus.text_cache._REBUILD_SHARE", 0.0)
    with vecrollback.connect(root) as store:
        everything(store)
        [before] = (root / "cache").glob("documents-*")
        store.upsert([Document("late", "a late note", {"kind": "lantern"})])
        store.catch_up("one")
    scramble(root, "d3")
    with vecrollback.connect(root) as store:
        answer = everything(store)
        assert (texts(answer), answer.current) == (LIVE | {"late": "a late note"}, True)
    assert list((root / "cache").glob("documents-*")) == [before]


def test_documents_that_can_be_read_are_given_and_one_that_cannot_is_named(root: Path) -> None:
    path = damage_text(root, "d3")
    with vecrollback.connect(root) as store:
        assert {one.text for one in store.get(["d1", "d15"]).values()} == {TEXTS["d1"], TEXTS["d15"]}
        with pytest.raises(CorruptArtifactError, match=r"1 document cannot be read \(d3\)") as refused:
            store.get(["d1", "d3"])
        assert path.name in str(refused.value)
        assert "write or delete these documents anew" in refused.value.hint
        assert store.get(["nobody"]) == {}


def test_vectors_are_not_made_of_a_log_that_cannot_be_read_whole(root: Path) -> None:
    """A change that is lost must not be passed by: pairs say that they lag."""
    with vecrollback.connect(root) as store:
        store.upsert([Document("new", "another note")])
    damage_text(root, "d3")
    with vecrollback.connect(root) as store:
        with pytest.raises(CorruptArtifactError, match=r"cannot be read \(d3\)"):
            store.catch_up("one")
        assert store.pair("one").watermark < store.resources.corpus.state().head


@pytest.mark.parametrize("how", ["written", "deleted"])
def test_written_or_deleted_anew_the_damaged_document_is_whole_again(root: Path, how: str) -> None:
    damage_text(root, "d3")
    with vecrollback.connect(root) as store:
        if how == "written":
            store.upsert([Document("d3", "found again", {"kind": "lantern"})])
        else:
            store.delete(["d3"])
        store.catch_up("one")
        answer = everything(store)
        assert answer.current
        wanted = LIVE | {"d3": "found again"} if how == "written" else {k: v for k, v in LIVE.items() if k != "d3"}
        assert texts(answer) == wanted


def test_a_write_that_would_read_what_ends_processes_is_refused(root: Path) -> None:
    path = scramble(root, "d3")
    with vecrollback.connect(root) as store, pytest.raises(CorruptArtifactError, match=path.name):
        store.upsert([Document("new", "another note")])


def test_words_find_nothing_in_a_log_with_holes_and_vectors_still_answer(root: Path) -> None:
    damage_text(root, "d3")
    with vecrollback.connect(root) as store:
        with pytest.raises(CorruptArtifactError, match="d3"):
            store.search("boats", mode="keyword")
        answer = store.search("boats", k=5, mode="hybrid")
        assert len(answer.hits) == 5
        assert not answer.current


def test_a_rollback_needs_nothing_of_a_damaged_log(root: Path) -> None:
    with vecrollback.connect(root) as store:
        store.promote(store.reembed("hash:32?seed=2", name="two", index="Flat").wait(), reason="a test")
    scramble(root, "d3")
    with vecrollback.connect(root) as store:
        outcome = store.rollback(reason="a test")
        assert outcome.report is not None
        assert outcome.report.verdict == "fail"
        assert store.live().name == "one"
        assert set(texts(everything(store))) == set(LIVE)
