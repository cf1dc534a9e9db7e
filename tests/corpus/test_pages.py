"""HTML, Word and PDF files as documents; what of a folder is no document is counted.

Covers corpus.formats.pages, corpus.formats.folder.
"""

from __future__ import annotations

import codecs
import sys
import zipfile
from pathlib import Path

import docx
import pytest

from tests.support.source_files import documents, one, write
from vecrollback.corpus.formats import ReadOptions, pages, read_sources
from vecrollback.corpus.formats.encodings import codec_of
from vecrollback.corpus.formats.pages import read_html
from vecrollback.errors import MissingDependencyError
from vecrollback.records import Document

HTML = b"""<!doctype html><html><head><title> Ships &amp; harbours </title><style>p { color: red }</style>
<script>document.write("<p>never shown</p>")</script></head>
<body><nav>Home</nav><h1>At dawn</h1><p>They leave <b>slow</b>ly,<br>one by   one.<p>Caf&eacute;
<table><tr><td>pier</td><td>7</td></tr></table><svg><title>icon</title><text>x</text></svg>
<template>hidden</template><noscript>turn scripts on</noscript></body></html>"""


def pdf(*pages: str, title: str = "") -> bytes:
    """A PDF of pages with one line of text each."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, line in enumerate(pages):
        drawn = f"BT /F1 12 Tf 72 720 Td ({line}) Tj ET" if line else ""
        font = "/Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R {font} /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R >>")
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    objects.append(f"<< /Title ({title}) >>")
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\n"
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}startxref\n{len(data)}\n%%EOF\n"
    return data + end.encode()


def word(path: Path) -> Path:
    document = docx.Document()
    document.core_properties.title = "The harbour"
    document.add_heading("Ships", 1)
    document.add_paragraph("They leave at dawn.")
    table = document.add_table(2, 2)
    for cell, text in zip([cell for row in table.rows for cell in row.cells], ("pier", "7", "berth", "9"), strict=True):
        cell.text = text
    table.rows[0].cells[0].merge(table.rows[0].cells[1])
    document.add_paragraph("Last.")
    document.save(str(path))
    return path


def test_a_page_is_what_a_browser_shows(tmp_path: Path) -> None:
    path = write(tmp_path / "page.html", HTML)
    text = "Home\nAt dawn\nThey leave slowly,\none by one.\nCafé\npier\n7"
    title = "Ships & harbours"
    assert documents(path) == [Document("page.html", f"{title}\n{text}", {"title": title, "path": "page.html"})]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ('<meta charset="latin-1"><p>Caf\xe9'.encode("latin-1"), "Café"),
        (b'<?xml version="1.0" encoding="iso-8859-1"?><p>Caf\xe9</p>', "Café"),
        ("<p>Café".encode("utf-16"), "Café"),
        (b"\xef\xbb\xbf<meta charset=latin-1><p>Caf\xc3\xa9", "Café"),
        (b"\xef\xbb\xbf<meta charset=utf-16><p>Caf\xc3\xa9", "Café"),
        (b"<!-- <meta charset=koi8-r> --><p>Caf\xc3\xa9", "Café"),
        (b"<!-- <meta charset=koi8-r> --><meta charset=latin1><p>Caf\xe9", "Café"),
        (b"<p>a<p>b</div></b><i>c", "a\nb\nc"),
        (b"<head><title>t</title><p>no end of the head", "no end of the head"),
        (b"<p>1 < 2 & 3 &unknown; &#0;", "1 < 2 & 3 &unknown; \ufffd"),
        (b"<script>unclosed <p>x", ""),
        (b"", ""),
    ],
)
def test_markup_of_every_kind_is_read(data: bytes, text: str) -> None:
    assert read_html(data, "")["text"] == text


@pytest.mark.parametrize(
    ("name", "codec", "text"),
    [
        ("iso-8859-1", "cp1252", "\u201cCafé\u201d \u2013 it\u2019s \u20ac5"),
        ("ISO-8859-1", "latin-1", "a control \x81 of none"),
        ("latin1", "cp1252", "\u2026"),
        ("us-ascii", "cp1252", "Caf\xe9\u2122"),
        ("x-user-defined", "cp1252", "\u20ac"),
        ("iso-8859-9", "cp1254", "\u20ac ğışİ"),
        ("tis-620", "cp874", "\u20acก"),
        ("iso88592", "iso8859-2", "Łódź"),
        ("x-cp1250", "cp1250", "Łódź"),
        ("gb2312", "gbk", "朱镕基"),
        ("big5", "big5hkscs", "中文 嘅"),
        ("shift_jis", "cp932", "①日本"),
        ("euc-kr", "cp949", "똠방"),
        ("utf-16", "utf-8", "Zürich"),
        ("UTF-16LE", "utf-8", "Zürich"),
        ("unicode", "utf-8", "Zürich"),
        ("koi8-r", "koi8-r", "Привет"),
        ("iso-8859-15", "iso8859-15", "5\u20ac"),
    ],
)
def test_a_page_is_in_the_encoding_that_browsers_take_its_name_for(name: str, codec: str, text: str) -> None:
    for head in (f'<meta charset="{name}">', f"<meta http-equiv=Content-Type content='text/html; charset={name}'>"):
        assert read_html(head.encode() + f"<p>{text}".encode(codec), "")["text"] == text
    assert read_html(f'<?xml version="1.0" encoding="{name}"?><p>{text}'.encode(codec), "")["text"] == text


def test_every_other_name_means_what_python_means() -> None:
    for name in (
        "utf-8",
        "utf8",
        "windows-1251",
        "iso-8859-2",
        "iso-8859-5",
        "koi8-u",
        "euc-jp",
        "iso-2022-jp",
        "cp866",
    ):
        assert codec_of(name) == codecs.lookup(name).name


def test_a_byte_that_windows_has_no_character_for_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.html", b"<meta charset=windows-1253><p>\xd2")
    assert "a.html" in str(one(path).error)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.csv", "a.jsonl"])
@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("asked", ["latin-1", "cp1252", "utf-8", "utf-16-le", "utf-8-sig"])
def test_a_byte_order_mark_says_more_than_whoever_asks(tmp_path: Path, name: str, mark: str, asked: str) -> None:
    content = {"a.csv": "id,text\na,Zürich\n", "a.jsonl": '{"id": "a", "text": "Zürich"}\n'}.get(name, "Zürich")
    path = write(tmp_path / name, content.encode(mark))
    [row] = read_sources([path], ReadOptions(encoding=asked))
    assert row.document is not None
    assert row.document.text == "Zürich"


def test_utf_32_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "Zürich".encode("utf-32"))
    [row] = read_sources([path], ReadOptions(encoding="utf-32"))
    assert row.document is not None
    assert row.document.text == "Zürich"


def test_a_word_document_is_its_paragraphs_and_tables_in_order(tmp_path: Path) -> None:
    document = one(word(tmp_path / "a.docx")).document
    assert document is not None
    lines = document.text.split("\n")
    assert lines[:3] == ["The harbour", "Ships", "They leave at dawn."]
    assert "berth\t9" in lines
    assert sum("pier" in line for line in lines) == 1, "a merged cell is said once"
    assert lines[-1] == "Last."


def test_a_pdf_is_the_text_of_its_pages(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pdf", pdf("Ships leave at dawn.", "The harbour sleeps.", title="Harbours"))
    text = "Harbours\nShips leave at dawn.\n\nThe harbour sleeps."
    assert documents(path) == [Document("a.pdf", text, {"title": "Harbours", "path": "a.pdf"})]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.pdf", pdf("", ""), "it holds no text"),
        ("a.pdf", b"%PDF-1.4 broken", "not a readable .pdf file"),
        ("a.docx", b"PK broken", "not a readable .docx file"),
        ("a.html", b'<meta charset="klingon">', "'klingon'"),
        ("a.html", b"<p>Caf\xe9", "not UTF-8 at byte 6"),
    ],
)
def test_a_file_that_holds_no_text_says_why(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    assert reason in str(one(write(tmp_path / name, data)).error)


def test_a_word_document_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    path = word(tmp_path / "a.docx")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/media/nothing", bytes(pages.MAX_UNPACKED_BYTES))
    assert path.stat().st_size < 1 << 20
    assert "unpacks to more than" in str(one(path).error)


def test_a_folder_takes_all_of_them_and_counts_the_rest(tmp_path: Path) -> None:
    word(tmp_path / "a.docx")
    write(tmp_path / "b.pdf", pdf("Ships."))
    write(tmp_path / "c.htm", HTML)
    write(tmp_path / "d.md", "D")
    for name in ("e.png", "f.PNG", "g.jsonl", ".hidden", "Makefile"):
        write(tmp_path / name, "x")
    options = ReadOptions()
    rows = list(read_sources([tmp_path], options))
    assert [row.document.id for row in rows if row.document] == ["a.docx", "b.pdf", "c.htm", "d.md"]
    assert options.left_out == {".png": 2, ".jsonl": 1, "hidden": 1, "without a suffix": 1}


def test_what_needs_a_package_is_left_out_of_a_folder_and_named_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.pdf", pdf("Ships."))
    write(tmp_path / "b.md", "B")
    monkeypatch.setitem(sys.modules, "pypdf", None)
    options = ReadOptions()
    assert [row.document.id for row in read_sources([tmp_path], options) if row.document] == ["b.md"]
    assert options.unreadable == {".pdf (pip install 'vecrollback[documents]')": 1}
    with pytest.raises(MissingDependencyError, match="pypdf"):
        list(read_sources([path], ReadOptions()))
