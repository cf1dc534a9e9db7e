"""Reading each format: what it takes, and what its defects cost.

Covers corpus.formats.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import decimal
import gzip
import json
import os
import threading
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.support.source_files import documents, jsonl, one, write
from vecrollback.corpus import formats
from vecrollback.corpus.formats import Row, folder, lines, read_documents
from vecrollback.errors import BadDocumentError
from vecrollback.records import Document

# Text files


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.ndjson", "a.JSONL", "a.b.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.Jsonl.Gz"]
)
def test_json_lines_are_read_packed_or_not(tmp_path: Path, name: str) -> None:
    packed = tmp_path / name.lower()
    jsonl(packed, [{"id": "a", "text": "t"}])
    assert documents(packed.rename(tmp_path / name)) == [Document("a", "t")]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
def test_csv_is_read_packed_or_not(tmp_path: Path, name: str) -> None:
    assert documents(write(tmp_path / name, "id,text\na,t\n")) == [Document("a", "t")]


def test_several_packed_frames_are_one_file(tmp_path: Path) -> None:
    parts = [b'{"id": "a", "text": "t"}\n{"id":', b' "b", "text": "t"}']
    (tmp_path / "a.jsonl.gz").write_bytes(b"".join(map(gzip.compress, parts)))
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(map(zstandard.ZstdCompressor().compress, parts)))
    for name in ("a.jsonl.gz", "a.jsonl.zst"):
        assert [document.id for document in documents(tmp_path / name)] == ["a", "b"]


def test_malformed_lines_do_not_end_the_reading(tmp_path: Path) -> None:
    good = b'{"id": "%d", "text": "t"}'
    content = [
        good % 1,
        b"",
        b"{",
        b"[1]",
        b'{"id": "\xff", "text": ""}',
        b"  \t",
        b"null",
        b"[" * 200_000,
        good % 9,
        good % 10,
    ]
    rows = list(read_documents(write(tmp_path / "a.jsonl", b"\r\n".join(content))))
    assert [row.line for row in rows] == [1, 3, 4, 5, 7, 8, 9, 10]
    assert [row.document.id for row in rows if row.document] == ["1", "9", "10"]
    reasons = [row.error for row in rows if row.error]
    assert reasons[:4] == [
        "not JSON: Expecting property name enclosed in double quotes at column 2",
        "not a JSON object but a list",
        "not UTF-8: byte 0xff at column 9",
        "not a JSON object but a NoneType",
    ]
    assert reasons[4].startswith("not readable JSON: ")


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", '{"id": "a", "text": "t"}'), ("a.csv", "id,text\na,t")])
def test_byte_order_mark_is_no_content(tmp_path: Path, name: str, content: str) -> None:
    assert documents(write(tmp_path / name, "\ufeff" + content)) == [Document("a", "t")]


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n \n"])
def test_empty_file_holds_nothing(tmp_path: Path, content: bytes) -> None:
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst"):
        assert list(read_documents(write(tmp_path / name, content))) == []


@pytest.mark.parametrize("name", ["a\0.jsonl", "x" * 300 + ".jsonl", "a.jsonl/b.jsonl"])
def test_impossible_path_is_refused(tmp_path: Path, name: str) -> None:
    jsonl(tmp_path / "a.jsonl", [])
    with pytest.raises(BadDocumentError, match="cannot be read"):
        read_documents(tmp_path / name)


def test_line_separators_inside_a_text_end_no_line(tmp_path: Path) -> None:
    text = "one\u2028two\x85three\x0bfour\x1cfive"
    path = write(tmp_path / "a.jsonl", json.dumps({"id": "a", "text": text}, ensure_ascii=False))
    assert documents(path) == [Document("a", text)]


def test_overlong_line_is_one_error_and_reading_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    monkeypatch.setattr("vecrollback.corpus.formats.lines.MAX_LINE_BYTES", 100)
    path = jsonl(tmp_path / "a.jsonl", [{"id": "a", "text": "x" * 1_000_000}, {"id": "b", "text": "t"}])
    first, second = read_documents(path)
    assert first.error == "the line is longer than 100 bytes"
    assert second == Row(2, document=Document("b", "t"))


def test_ten_megabyte_document_is_read(tmp_path: Path) -> None:
    text = "ten megabytes " * 750_000
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], ["a", text]])
    assert documents(path) == documents(jsonl(tmp_path / "a.jsonl", [{"id": "a", "text": text}]))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.csv.gz", "a.csv.zst"])
def test_file_that_breaks_off_says_where(tmp_path: Path, name: str) -> None:
    pattern = '{{"id": "{0}", "text": "{1}"}}\n' if "jsonl" in name else "{0},{1}\n"
    content = "".join(pattern.format(i, os.urandom(40).hex()) for i in range(20_000))
    path = write(tmp_path / name, ("" if "jsonl" in name else "id,text\n") + content)
    path.write_bytes(path.read_bytes()[:-1000])
    rows = []
    with pytest.raises(BadDocumentError, match=r"cannot be read after \d+ lines") as caught:
        for row in read_documents(path):
            rows.append(row)
    assert 0 < len(rows) < 20_000
    assert all(row.document for row in rows)
    assert caught.value.source == str(path)
    assert caught.value.line >= rows[-1].line
    assert "damaged or incomplete" in caught.value.hint


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_file_of_another_kind_than_its_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"id": "a", "text": "t"}')
    with pytest.raises(BadDocumentError, match="cannot be read"):
        list(read_documents(tmp_path / name))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.jsonl.zst"])
def test_missing_file_is_refused_at_the_call(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadDocumentError, match="cannot be read: No such file"):
        read_documents(tmp_path / name)


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.gz", "a.parquet.gz", "a.jsonl.bz2", ".jsonl", "a.pdf.gz"])
def test_unknown_format_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadDocumentError, match="unknown format") as caught:
        read_documents(write(tmp_path / name, ""))
    assert caught.value.hint == f"readable: {formats.FORMATS}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file, so none is unreadable; run it as another user")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"id": "a", "text": "t"}])
    path.chmod(0)
    with pytest.raises(BadDocumentError, match="Permission denied"):
        list(read_documents(path))


def test_reading_holds_one_line_at_a_time(tmp_path: Path) -> None:
    endless = tmp_path / "a.jsonl"
    os.mkfifo(endless)

    def write_until_nobody_reads() -> None:
        with contextlib.suppress(BrokenPipeError), endless.open("wb", buffering=0) as pipe:
            while True:
                pipe.write(b'{"id": "a", "text": "t"}\n')

    writer = threading.Thread(target=write_until_nobody_reads, daemon=True)
    writer.start()
    rows = read_documents(endless)
    assert [next(rows).line for _ in range(1000)] == list(range(1, 1001))
    del rows
    writer.join(timeout=10)
    assert not writer.is_alive()


# CSV


def test_csv_values_stay_strings_and_empty_cells_are_absent(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,title,text,year,note,\n007,T,t,1999,,x\n8,,,,true,\n")
    assert documents(path) == [
        Document("007", "T\nt", {"title": "T", "year": "1999"}),
        Document("8", "", {"note": "true"}),
    ]


def test_csv_line_is_where_the_record_starts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\r\na,"one\r\ntwo\n\nthree ""quoted"""\r\n\r\nb,t\r\nc,"d"\r\n')
    rows = list(read_documents(path))
    assert [row.line for row in rows] == [2, 7, 8]
    assert rows[0].document == Document("a", 'one\r\ntwo\n\nthree "quoted"')


def test_malformed_csv_records_do_not_end_the_reading(tmp_path: Path) -> None:
    content = b'id,text\na,b,c\nd\n"e"f,g\nh,\xff\n,no id\ni,t\nj,"never closed\n'
    rows = list(read_documents(write(tmp_path / "a.csv", content)))
    assert [row.line for row in rows] == [2, 3, 4, 5, 6, 7, 8]
    assert rows[5].document == Document("i", "t")
    reasons = [str(row.error) for row in rows if row.error]
    assert reasons[0] == "not CSV: 3 cells under 2 columns"
    assert reasons[3] == "not UTF-8"
    assert "blank" in reasons[4]
    assert "unexpected end of data" in reasons[5]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "column 'id' and 'text' is missing; columns here: none"),
        (b"id;text\na;t\n", "column 'id' and 'text' is missing; columns here: 'id;text'"),
        (b"key,text\na,t\n", "column 'id' is missing; columns here: 'key', 'text'"),
        (b"id,body\na,t\n", "column 'text' is missing; columns here: 'id', 'body'"),
        (b"id,text,x,x\na,t,1,2\n", "two columns are called 'x'"),
        (b"id,text,\xff\na,t,1\n", "the header is not UTF-8"),
        (b'id,"text\n', "the header is not CSV"),
    ],
)
def test_csv_that_cannot_hold_documents_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(BadDocumentError, match=reason):
        list(read_documents(write(tmp_path / "a.csv", content)))


# Parquet


def test_parquet_values_become_json(tmp_path: Path) -> None:
    columns = {
        "id": pa.array([1]),
        "title": pa.array(["T"]).dictionary_encode(),
        "text": pa.array(["t"], pa.large_string()),
        "at": pa.array([datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)], pa.timestamp("us", "UTC")),
        "nanos": pa.array([1_700_000_000_000_000_000], pa.timestamp("ns")),
        "day": pa.array([datetime.date(2024, 5, 6)]),
        "time": pa.array([datetime.time(7, 8)]),
        "took": pa.array([datetime.timedelta(seconds=90)]),
        "price": pa.array([decimal.Decimal("19.90")]),
        "exact": pa.array([decimal.Decimal("12345678901234567890.5")]),
        "tags": pa.array([["x", None]]),
        "nested": pa.array([{"a": [{"b": datetime.date(2024, 1, 1)}]}]),
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        "key": pa.array([uuid.UUID(int=5).bytes], pa.uuid()),
        "absent": pa.array([None], pa.string()),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    (document,) = documents(tmp_path / "a.parquet")
    assert (document.id, document.text) == ("1", "T\nt")
    assert document.metadata == {
        "title": "T",
        "at": "2024-05-06T07:08:09+00:00",
        "nanos": "2023-11-14T22:13:20",
        "day": "2024-05-06",
        "time": "07:08:00",
        "took": 90.0,
        "price": 19.9,
        "exact": "12345678901234567890.5",
        "tags": ["x", None],
        "nested": {"a": [{"b": "2024-01-01"}]},
        "map": {"k": 1},
        "key": "00000000-0000-0000-0000-000000000005",
    }


def test_parquet_rows_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffc")]
    )
    columns = {"id": ["1", "2", "3"], "text": broken, "blob": pa.array([None, None, b"x"])}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    first, second, third = read_documents(tmp_path / "a.parquet")
    assert first == Row(1, document=Document("1", "a"))
    assert second.error is not None
    assert "cannot be read" in second.error
    assert third.error == "document '3': metadata['blob'] is a bytes, which JSON cannot hold; pass its .decode()"


def test_parquet_rows_count_across_batches(tmp_path: Path) -> None:
    ids = list(range(1000))
    pq.write_table(pa.table({"id": ids, "text": [str(i) for i in ids]}), tmp_path / "a.parquet", row_group_size=300)
    rows = list(read_documents(tmp_path / "a.parquet"))
    assert [row.line for row in rows] == list(range(1, 1001))
    assert [row.document.id for row in rows if row.document] == [str(i) for i in ids]


def test_parquet_without_the_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": ["a"], "text": ["t"]}), tmp_path / "a.parquet")
    with pytest.raises(BadDocumentError, match="column 'id' is missing; columns here: 'key', 'text'"):
        list(read_documents(tmp_path / "a.parquet"))
    assert documents(tmp_path / "a.parquet", id_field="key") == [Document("a", "t")]


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["a"], "text": ["t"]}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadDocumentError, match="cannot be read"):
        list(read_documents(path))


# Folders


def _tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_folder_is_read_in_path_order(tmp_path: Path) -> None:
    files = {
        "b.md": b"\xef\xbb\xbfB\r\n",
        "a/z.TXT": "é".encode(),
        "a/b/c.txt": b"",
        "a.txt": b"A",
        "note.rst": b"",
        ".git/x.txt": b"",
        ".x.md": b"",
    }
    names = ["a/b/c.txt", "a/z.TXT", "a.txt", "b.md"]
    texts = ["", "é", "A", "B\r\n"]
    expected = [Document(name, text, {"path": name}) for name, text in zip(names, texts, strict=True)]
    assert documents(_tree(tmp_path, files)) == expected


def test_folder_never_reads_outside_itself(tmp_path: Path) -> None:
    root = _tree(tmp_path / "in", {"a.txt": b"a", "sub/b.txt": b"b"})
    secret = _tree(tmp_path / "out", {"secret.txt": b"secret"})
    (root / "inside.txt").symlink_to("a.txt")
    (root / "outside.txt").symlink_to(secret / "secret.txt")
    (root / "folder").symlink_to(secret)
    (root / "sub" / "circle").symlink_to(root)
    rows = list(read_documents(root))
    assert [row.document.id for row in rows if row.document] == ["a.txt", "inside.txt", "sub/b.txt"]
    assert [row.error for row in rows if row.error] == [
        "'outside.txt': a symbolic link out of the folder, not followed"
    ]


def test_unreadable_text_in_a_folder_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_TEXT_BYTES", 10)
    root = _tree(tmp_path, {"bad.txt": b"ab\xff", "big.txt": b"x" * 11, "good.txt": b"g"})
    (root / "gone.txt").symlink_to("nowhere.txt")
    (root / "loop.txt").symlink_to("loop.txt")
    os.mkfifo(root / "pipe.txt")
    rows = list(read_documents(root))
    assert [row.line for row in rows] == [1, 2, 3, 4, 5, 6]
    reasons = [str(row.error) for row in rows if row.error]
    assert reasons[0] == "'bad.txt': not UTF-8 at byte 2"
    assert reasons[1] == "'big.txt': larger than 10 bytes"
    assert reasons[2] == "'gone.txt': cannot be read: No such file or directory"
    assert reasons[3].startswith("'loop.txt': cannot be read: ")
    assert reasons[4] == "'pipe.txt': not a regular file"


def test_folder_name_that_is_no_id_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "line\nbreak.txt").write_text("t")
    assert "control character" in str(one(tmp_path).error)


def test_folder_without_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDocumentError, match=r"no \.md, \.txt.* file in this folder"):
        list(read_documents(tmp_path))


@pytest.mark.parametrize("options", [{"changes": True}, {"id_field": "x"}, {"text_field": "x"}])
def test_folder_has_no_fields(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(BadDocumentError, match="no fields and no changes"):
        read_documents(tmp_path, **options)
