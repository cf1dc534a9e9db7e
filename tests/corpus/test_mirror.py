"""`ingest` of several sources in every form, and as a mirror: what they no longer have is deleted, and told.

Covers corpus.ingest, corpus.mirror, corpus.formats.json_file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.source_files import documents, jsonl, write
from vecrollback import Document, Store, connect
from vecrollback.corpus.formats import ReadOptions, read_sources
from vecrollback.errors import BadDocumentError, RefusedError, UsageError


def rows(*ids: object, **more: Any) -> list[dict[str, Any]]:
    return [{"id": id_, "text": f"text {id_}", **more} for id_ in ids]


def read(path: Path, **options: Any) -> list[Document]:
    found = list(read_sources([path], ReadOptions(**options)))
    assert [row.error for row in found if row.error] == []
    return [row.document for row in found if row.document]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "store"
    with connect(folder, create=True):
        return folder


def ids(store: Store) -> set[str]:
    return {document.id for document in store.documents()}


# -- formats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        rows("a", "b"),
        {"documents": rows("a", "b"), "version": 3},
        {"a": {"text": "text a"}, "b": {"text": "text b"}},
    ],
)
def test_a_json_file_is_a_list_or_holds_one(tmp_path: Path, value: object) -> None:
    expected = [Document("a", "text a"), Document("b", "text b")]
    assert documents(write(tmp_path / "a.json", json.dumps(value, indent=2))) == expected
    assert documents(write(tmp_path / "a.json.gz", json.dumps(value))) == expected


def test_one_object_is_one_document_and_lines_under_the_name_are_lines(tmp_path: Path) -> None:
    assert documents(write(tmp_path / "a.json", json.dumps(rows("a")[0]))) == [Document("a", "text a")]
    content = "".join(json.dumps(row) + "\n" for row in rows("a", "b"))
    assert [document.id for document in documents(write(tmp_path / "b.json", content))] == ["a", "b"]
    assert documents(write(tmp_path / "c.json", "")) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [('{"id": "a"', "not JSON"), ("3", "a int, not a list"), ('{"a": 1}', "0 lists of objects"), ("[" * 99_999, "not")],
)
def test_a_json_file_without_objects_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    with pytest.raises(BadDocumentError, match=reason):
        documents(write(tmp_path / "a.json", content))


@pytest.mark.parametrize(
    ("name", "delimiter", "cell"), [("a.tsv", "", "\t"), ("a.tab", "", "\t"), ("a.csv", ";", ";"), ("a.csv", "|", "|")]
)
def test_tables_have_the_delimiter_of_their_kind_or_the_one_that_is_named(
    tmp_path: Path, name: str, delimiter: str, cell: str
) -> None:
    path = write(tmp_path / name, f'id{cell}text{cell}year\na{cell}"t, t"{cell}2020\n')
    assert read(path, delimiter=delimiter) == [Document("a", "t, t", {"year": "2020"})]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json", "a.txt"])
@pytest.mark.parametrize(("encoding", "named"), [("latin-1", "latin-1"), ("cp1252", "cp1252"), ("utf-16", "")])
def test_text_in_another_encoding_is_read(tmp_path: Path, name: str, encoding: str, named: str) -> None:
    content = {
        "a.jsonl": '{"id": "a", "text": "Café"}\n{"id": "b", "text": "Straße"}\n',
        "a.csv": "id,text\na,Café\nb,Straße\n",
        "a.json": '[{"id": "a", "text": "Café"}, {"id": "b", "text": "Straße"}]',
        "a.txt": "Café\nStraße",
    }[name]
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    texts = [document.text for document in read(path, encoding=named)]
    assert "\n".join(texts) == "Café\nStraße"


def test_what_is_not_in_the_encoding_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"id": "a", "text": "t"}\n{"id": "b", "text": "\xff"}\n')
    with pytest.raises(BadDocumentError, match="not ascii"):
        read(path, encoding="ascii")


def test_ids_and_texts_may_be_inside_of_other_fields(tmp_path: Path) -> None:
    row = {"meta": {"doc": {"id": 7}, "lang": "en"}, "body": {"content": "t"}, "a.b": "x"}
    [document] = read(jsonl(tmp_path / "a.jsonl", [row]), id="meta.doc.id", text="body.content")
    assert (document.id, document.text) == ("7", "t")
    assert document.metadata["meta"] == row["meta"]
    [document] = read(jsonl(tmp_path / "b.jsonl", [row]), id="a.b", text="body.content")
    assert document.id == "x"
    with pytest.raises(AssertionError, match=r"meta\.none"):
        read(tmp_path / "a.jsonl", id="meta.none", text="body.content")


def test_generated_ids_name_what_a_document_says(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "text,lang\nt,en\nt,de\nt,en\n")
    one, other, again = read(table, generate=True)
    assert one.id == again.id != other.id
    assert (one.text, one.metadata) == ("t", {"lang": "en"})
    [line] = read(jsonl(tmp_path / "a.jsonl", [{"text": "t", "lang": "en"}]), generate=True)
    assert line.id == one.id


def test_a_column_of_vectors_is_left_out_and_told(tmp_path: Path) -> None:
    vector = pa.array([[0.5] * 48] * 3, pa.list_(pa.float32()))
    fixed = pa.array([[0.5] * 64] * 3, pa.list_(pa.float16(), 64))
    few = pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float64()))
    uneven = pa.array([[1.0] * 40, [1.0] * 41, None], pa.list_(pa.float64()))
    columns = {"id": ["a", "b", "c"], "text": ["t"] * 3, "v": vector, "f": fixed, "few": few, "uneven": uneven}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    options = ReadOptions()
    [first, *_] = read_sources([tmp_path / "a.parquet"], options)
    assert first.document is not None
    assert first.document.metadata == {"few": [1.0, 2.0], "uneven": [1.0] * 40}
    assert options.left_out == {"column 'f' of vectors": 1, "column 'v' of vectors": 1}


def test_a_folder_that_a_job_wrote_is_its_parts(tmp_path: Path) -> None:
    jsonl(tmp_path / "part-0001.jsonl.gz", rows("c"))
    jsonl(tmp_path / "part-0000.jsonl", rows("a", "b"))
    (tmp_path / "year=2020").mkdir()
    pq.write_table(pa.table({"id": ["d"], "text": ["text d"]}), tmp_path / "year=2020" / "part-0.snappy.parquet")
    write(tmp_path / "_SUCCESS", "")
    write(tmp_path / "_metadata.json", "{}")
    write(tmp_path / ".part-0000.jsonl.crc", "")
    assert [document.id for document in read(tmp_path)] == ["a", "b", "c", "d"]
    bad = next(read_sources([tmp_path], ReadOptions(id="nobody")))
    assert bad.source == str(tmp_path / "part-0000.jsonl")


def test_several_sources_are_one_run_and_a_bad_row_names_its_file(tmp_path: Path, store: Store) -> None:
    one, other = jsonl(tmp_path / "a.jsonl", rows("a", "b")), jsonl(tmp_path / "b.jsonl", [*rows("c"), {"id": "x"}])
    done = store.ingest([one, other], skip_bad=True)
    assert (done.read, done.changed) == (4, 3)
    assert [(row.source, row.line) for row in done.rejected] == [(str(other), 2)]
    with pytest.raises(BadDocumentError, match=r"b\.jsonl:2: "):
        store.ingest([one, other])
    with pytest.raises(BadDocumentError, match=r"c\.jsonl"):
        store.ingest([one, tmp_path / "c.jsonl"])


def test_standard_input_is_a_source(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom vecrollback.corpus.formats import ReadOptions, read_sources\n"
        "print([row.document.id for row in read_sources(['-'], ReadOptions(format=sys.argv[1]))])"
    )
    row = '{"id": "a", "text": "t"}'
    for format_, content in (("", row), ("csv", "id,text\na,t\n"), ("json", f"[{row}]")):
        done = subprocess.run(
            [sys.executable, "-c", code, format_], input=content, capture_output=True, text=True, check=True
        )
        assert done.stdout == "['a']\n"
    with pytest.raises(BadDocumentError, match="unknown format"):
        read_sources(["-"], ReadOptions(format="parquet"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "xlsx"}, "'xlsx' is not a known format"),
        ({"delimiter": ";;"}, "';;' is not a valid delimiter"),
        ({"encoding": "klingon"}, "'klingon' is not a known encoding"),
        ({"generate_ids": True, "id_field": "key"}, "generated or named"),
        ({"mirror": True, "changes": True}, "a mirror is made from documents"),
        ({"within": "lang = 'en'"}, "say what a mirror deletes"),
    ],
)
def test_options_that_are_not_valid_are_refused(
    tmp_path: Path, store: Store, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        store.ingest(jsonl(tmp_path / "a.jsonl", rows("a")), **options)
    assert store.count() == 0


# -- what comes twice -----------------------------------------------------------------------------------------------


def test_rows_that_come_twice_are_counted(tmp_path: Path, store: Store) -> None:
    path = jsonl(tmp_path / "a.jsonl", [*rows("a", "b", "a"), {"id": "b", "text": "other"}, *rows("a", "c")])
    done = store.ingest(path)
    assert (done.read, done.overwritten, done.repeated) == (6, 1, 2)
    assert store.get(["b"])["b"].text == "other"


def test_rows_of_one_id_in_a_row_are_one_write(tmp_path: Path, store: Store) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"id": f"d{n // 3}", "text": f"version {n % 3}"} for n in range(60)])
    corpus = store.resources.corpus
    before = corpus.state()
    done = store.ingest(path)
    assert (done.read, done.changed, done.unchanged, done.overwritten, done.repeated) == (60, 20, 40, 40, 0)
    assert corpus.state().version == before.version + 1
    assert {document.text for document in store.documents()} == {"version 2"}
    again = store.ingest(path)
    assert (again.changed, again.unchanged, again.seq) == (0, 60, done.seq)
    assert corpus.state().version == before.version + 1


def test_changes_of_one_id_are_what_they_are_one_by_one(tmp_path: Path, store: Store) -> None:
    random, corpus = Random(7), store.resources.corpus
    for turn in range(6):
        known = [f"{turn}-{n}" for n in range(3)]
        store.upsert([Document(way + id_, "before") for way in ("one ", "all ") for id_ in known[:2]])
        changes = [(random.choice(known), random.random() < 0.4) for _ in range(12)]
        for n, (id_, deletes) in enumerate(changes):
            _ = store.delete([f"one {id_}"]) if deletes else store.upsert([Document(f"one {id_}", f"text {n}")])
        lines = [
            {"op": "delete", "id": f"all {id_}"}
            if deletes
            else {"op": "upsert", "id": f"all {id_}", "text": f"text {n}"}
            for n, (id_, deletes) in enumerate(changes)
        ]
        done = store.ingest(jsonl(tmp_path / "a.jsonl", lines), changes=True)
        assert (done.read, done.changed + done.unchanged + done.deleted) == (12, 12)
        stored, deleted = (
            store.get([way + id_ for way in ("one ", "all ") for id_ in known]),
            corpus._ledger.tombstones(),
        )
        one, every = (
            [(stored[way + id_].text if way + id_ in stored else None, way + id_ in deleted) for id_ in known]
            for way in ("one ", "all ")
        )
        assert every == one


def test_a_delete_erases_also_where_the_document_comes_again(tmp_path: Path, store: Store) -> None:
    store.upsert([Document("a", "secret"), Document("b", "kept")])
    store.upsert([Document("a", "secret too"), Document("b", "kept too")])
    changes: list[dict[str, Any]] = [
        {"op": "upsert", "id": "b", "text": "new"},
        {"op": "delete", "id": "a"},
        {"op": "upsert", "id": "a", "text": "new"},
    ]
    done = store.ingest(jsonl(tmp_path / "a.jsonl", changes), changes=True)
    assert (done.changed, done.deleted, done.unchanged) == (2, 1, 0)
    assert {document.text for document in store.documents()} == {"new"}
    assert store.resources.corpus.earlier.readable(["a", "b"]) == {"b"}


def test_rows_before_a_bad_one_are_written_the_last_of_each_id(tmp_path: Path, store: Store) -> None:
    path = jsonl(tmp_path / "a.jsonl", [*rows("a", "b"), {"id": "a", "text": "other"}, {"id": "c"}, *rows("a", "c")])
    with pytest.raises(BadDocumentError, match=r"a\.jsonl:4: "):
        store.ingest(path)
    assert {document.id: document.text for document in store.documents()} == {"a": "other", "b": "text b"}
    done = store.ingest(path, skip_bad=True)
    assert ([row.line for row in done.rejected], done.read, done.changed, done.unchanged) == ([4], 6, 2, 3)


def test_a_name_is_one_whatever_its_letters_are_made_of(tmp_path: Path, store: Store) -> None:
    composed, apart = unicodedata.normalize("NFC", "Café.md"), unicodedata.normalize("NFD", "Café.md")
    write(tmp_path / apart, "of a Mac")
    store.ingest(tmp_path)
    assert ids(store) == {composed}
    write(tmp_path / composed, "of a server")
    done = store.ingest(tmp_path)
    assert (done.read, done.overwritten) == (2, 1)
    assert ids(store) == {composed}


def test_a_store_that_knows_the_other_spelling_keeps_it(tmp_path: Path, store: Store) -> None:
    apart = unicodedata.normalize("NFD", "Café.md")
    store.upsert([Document(apart, "old")])
    write(tmp_path / apart, "new")
    assert store.ingest(tmp_path, mirror=True).gone == 0
    assert store.get([apart])[apart].text == "new"
    assert ids(store) == {apart}


# -- mirror ---------------------------------------------------------------------------------------------------------


def test_a_mirror_deletes_what_no_source_has_any_more(tmp_path: Path, store: Store) -> None:
    for i in range(6):
        write(tmp_path / f"{i}.md", f"text {i}")
    store.ingest(tmp_path)
    (tmp_path / "2.md").unlink()
    (tmp_path / "5.md").rename(tmp_path / "6.md")
    done = store.ingest(tmp_path)
    assert (done.changed, done.gone, len(ids(store))) == (1, 0, 7)
    planned = store.ingest(tmp_path, mirror=True, dry_run=True)
    assert (planned.gone_ids, planned.changed, len(ids(store))) == (("2.md", "5.md"), 0, 7)
    done = store.ingest(tmp_path, mirror=True)
    assert (done.gone, done.gone_ids) == (2, ("2.md", "5.md"))
    assert ids(store) == {"0.md", "1.md", "3.md", "4.md", "6.md"}
    assert store.ingest(tmp_path, mirror=True).gone == 0
    write(tmp_path / "2.md", "it is back")
    assert store.ingest(tmp_path, mirror=True).changed == 1


def test_a_mirror_of_several_sources_keeps_what_any_of_them_has(tmp_path: Path, store: Store) -> None:
    one, other = jsonl(tmp_path / "a.jsonl", rows("a", "b")), jsonl(tmp_path / "b.jsonl", rows("c"))
    store.ingest([one, other])
    store.upsert([Document("old", "t")])
    assert store.ingest([one, other], mirror=True).gone_ids == ("old",)
    assert ids(store) == {"a", "b", "c"}


def test_a_mirror_deletes_nothing_that_may_be_in_what_it_could_not_read(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.md", "b.md", "c.md", "d.md"):
        write(tmp_path / name, name)
    store.ingest(tmp_path)
    write(tmp_path / "a.md", b"\xff")
    (tmp_path / "b.md").unlink()
    done = store.ingest(tmp_path, mirror=True, skip_bad=True)
    assert (done.gone, len(ids(store))) == (0, 4)
    assert "1 rows were rejected" in done.not_mirrored
    with pytest.raises(BadDocumentError):
        store.ingest(tmp_path, mirror=True)
    assert len(ids(store)) == 4
    write(tmp_path / "a.md", "a")
    write(tmp_path / "e.pdf", "x")
    monkeypatch.setitem(sys.modules, "pypdf", None)
    done = store.ingest(tmp_path, mirror=True)
    assert (done.gone, done.left_out) == (
        0,
        {"vecrollback stores": 1, ".pdf (pip install 'vecrollback[documents]')": 1},
    )
    assert "could not be read" in done.not_mirrored


def _pack(root: Path) -> None:
    (root / "sub" / "g.md.gz").write_bytes((root / "sub" / "g.md").read_bytes())
    (root / "sub" / "g.md").unlink()


def _put_elsewhere(root: Path) -> None:
    (root / "sub" / "g.md").rename(root / "sub" / ".g.md.icloud")


def _link(root: Path) -> None:
    (root / "sub").rename(root.parent / "elsewhere")
    (root / "sub").symlink_to(root.parent / "elsewhere")


def _unmount(root: Path) -> None:
    _link(root)
    (root.parent / "elsewhere").rename(root.parent / "unmounted")


def _make_a_store(root: Path) -> None:
    write(root / "sub" / "store.json", "{}")
    (root / "sub" / "tables").mkdir()


def _hide(root: Path) -> None:
    (root / "sub").rename(root / ".sub")


def _rename(root: Path) -> None:
    (root / "sub" / "g.md").rename(root / "sub" / "g.rst")


def _draw(root: Path) -> None:
    (root / "sub" / "g.md").unlink()
    write(root / "sub" / "g.png", "x")
    (root / "latest").symlink_to(root.parent)


@pytest.fixture
def notes(tmp_path: Path, store: Store) -> Path:
    root = tmp_path / "notes"
    (root / "sub").mkdir(parents=True)
    for name in ("a.md", "b.md", "c.md", "sub/g.md"):
        write(root / name, name)
    store.ingest(root)
    return root


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_link, "notes/sub was left out (linked folders)"),
        (_unmount, "notes/sub was left out (without a suffix)"),
        (_make_a_store, "notes/sub was left out (vecrollback stores)"),
        (_pack, "notes/sub/g.md.gz was left out (.gz)"),
        (_put_elsewhere, "notes/sub/.g.md.icloud was left out (hidden)"),
    ],
)
def test_a_mirror_deletes_nothing_that_may_be_where_it_did_not_look(
    notes: Path, store: Store, change: Callable[[Path], None], place: str
) -> None:
    change(notes)
    (notes / "a.md").unlink()
    for override in (False, True):
        done = store.ingest(notes, mirror=True, override=override)
        assert (done.gone, len(ids(store))) == (0, 4)
        assert place in done.not_mirrored
        assert "'sub/g.md'" in done.not_mirrored


@pytest.mark.parametrize("change", [_hide, _rename, _draw])
def test_what_was_left_out_under_another_name_keeps_no_document(
    notes: Path, store: Store, change: Callable[[Path], None]
) -> None:
    change(notes)
    assert store.ingest(notes, mirror=True).gone_ids == ("sub/g.md",)


def test_a_table_that_texts_hide_keeps_its_documents(tmp_path: Path, store: Store) -> None:
    root = tmp_path / "export"
    root.mkdir()
    table, other = jsonl(root / "part-0.jsonl", rows("a", "b")), jsonl(tmp_path / "x.jsonl", rows("x", "y", "z"))
    store.ingest([root, other])
    write(root / "README.md", "what this is")
    done = store.ingest([root, other], mirror=True)
    assert (done.gone, ids(store)) == (0, {"a", "b", "x", "y", "z", "README.md"})
    assert "part-0.jsonl was left out (.jsonl), and document 'a' may be in it; name it" in done.not_mirrored
    assert store.ingest([root, table, other], mirror=True).not_mirrored == ""
    (root / "README.md").unlink()
    write(root / "NOTES.md", "what this is")
    assert store.ingest([root, table, other], mirror=True).gone_ids == ("README.md",)


def test_a_table_beside_texts_keeps_no_text(notes: Path, store: Store) -> None:
    jsonl(notes / "table.jsonl", rows("t"))
    (notes / "a.md").unlink()
    assert store.ingest(notes, mirror=True).gone_ids == ("a.md",)


@pytest.fixture
def export(tmp_path: Path, store: Store) -> Path:
    root = tmp_path / "export"
    (root / "year=2020").mkdir(parents=True)
    for n in range(4):
        jsonl(root / f"part-{n}.jsonl", rows(n))
    jsonl(root / "year=2020" / "part-9.jsonl", rows("9"))
    store.ingest(root)
    return root


def test_a_folder_of_parts_that_is_a_link_keeps_its_documents(export: Path, store: Store) -> None:
    link, target = export / "year=2020", export.parent / "2020"
    link.rename(target)
    link.symlink_to(target)
    done = store.ingest(export, mirror=True)
    assert (done.gone, len(ids(store)), done.left_out) == (0, 5, {"linked folders": 1})
    assert "year=2020 was left out (linked folders), and document '9' may be in it" in done.not_mirrored
    done = store.ingest([export, target], mirror=True)
    assert (done.gone, done.not_mirrored) == (0, "")
    link.unlink()
    target.rename(export / "year=2021")
    (export / "latest").symlink_to("year=2021")
    (export / "part-3.jsonl").unlink()
    assert store.ingest(export, mirror=True).gone_ids == ("3",), "what the link leads to was read"


def test_a_part_under_an_unknown_name_keeps_its_documents(export: Path, store: Store) -> None:
    part = export / "year=2020" / "part-9.jsonl"
    part.rename(f"{part}.tmp")
    done = store.ingest(export, mirror=True)
    assert (done.gone, len(ids(store))) == (0, 5)
    assert "part-9.jsonl.tmp was left out (.tmp), and document '9' may be in it" in done.not_mirrored
    Path(f"{part}.tmp").unlink()
    write(export / "part-0.jsonl.md5", "of a part that is there")
    assert store.ingest(export, mirror=True).gone_ids == ("9",)


def test_a_mirror_of_less_than_half_asks_first(tmp_path: Path, store: Store) -> None:
    store.upsert([Document(f"d{i}", "t") for i in range(10)])
    path = jsonl(tmp_path / "a.jsonl", rows(*(f"d{i}" for i in range(4))))
    with pytest.raises(RefusedError, match="lack 6 of 10 documents"):
        store.ingest(path, mirror=True)
    assert len(ids(store)) == 10
    assert store.ingest(path, mirror=True, dry_run=True).gone == 6
    assert store.ingest(path, mirror=True, override=True).gone == 6
    assert len(ids(store)) == 4


def test_a_mirror_within_a_filter_leaves_the_others_alone(tmp_path: Path, store: Store) -> None:
    store.upsert([Document(f"w{i}", "t", {"source": "wiki"}) for i in range(4)])
    store.upsert([Document(f"m{i}", "t", {"source": "mail"}) for i in range(9)])
    path = jsonl(tmp_path / "wiki.jsonl", rows("w0", "w1", "w2", source="wiki"))
    assert store.ingest(path, mirror=True, within="source = 'wiki'").gone_ids == ("w3",)
    assert store.ingest(path, mirror=True, within={"source": "wiki"}).gone == 0
    assert len(ids(store)) == 3 + 9


def test_what_somebody_writes_meanwhile_stays(tmp_path: Path, store: Store) -> None:
    store.upsert([Document(f"d{i}", "t") for i in range(3)])
    path = jsonl(tmp_path / "a.jsonl", rows("d0", "d1"))

    def meanwhile(_: object) -> None:
        store.upsert([Document("new", "t")])

    assert store.ingest(path, mirror=True, progress=meanwhile).gone_ids == ("d2",)
    assert ids(store) == {"d0", "d1", "new"}


def test_what_somebody_writes_anew_meanwhile_stays(tmp_path: Path, store: Store) -> None:
    store.upsert([Document(f"d{i}", "t") for i in range(6)])
    path = jsonl(tmp_path / "a.jsonl", rows("d0", "d1", "d2"))

    def meanwhile(_: object) -> None:
        store.upsert([Document("d3", "anew")])
        store.delete(["d4"])

    for dry_run in (True, False):
        done = store.ingest(path, mirror=True, progress=meanwhile, dry_run=dry_run)
        assert (done.gone, done.gone_ids) == ((3, ("d3", "d4", "d5")) if dry_run else (1, ("d5",)))
    assert {document.id: document.text for document in store.documents()}["d3"] == "anew"


def test_a_delete_leaves_what_was_written_since(store: Store) -> None:
    store.upsert([Document("a", "t"), Document("b", "t")])
    corpus = store.resources.corpus
    before = corpus.state().head
    store.upsert([Document("a", "anew")])
    assert corpus.delete(["a", "b"], since=before).deleted == 1
    assert ids(store) == {"a"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder; run it as another user")
def test_a_folder_that_cannot_be_read_is_no_empty_folder(tmp_path: Path, store: Store) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "a.md", "a")
    write(tmp_path / "sub" / "b.md", "b")
    store.ingest(tmp_path)
    (tmp_path / "sub").chmod(0)
    with pytest.raises(BadDocumentError):
        store.ingest(tmp_path, mirror=True)
    (tmp_path / "sub").chmod(0o755)
    assert len(ids(store)) == 2
