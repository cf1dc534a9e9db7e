"""The text of a file that is made for readers: HTML, Word and PDF, and plain text itself.

HTML needs nothing; Word and PDF are read by python-docx and pypdf, the extra `documents`. Nothing in a file is run, and
nothing that it refers to is fetched.
"""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Callable, Mapping
from html.parser import HTMLParser

from vecrollback.corpus.formats.encodings import decode_page, marked
from vecrollback.errors import MissingDependencyError
from vecrollback.records import Json

Page = dict[str, Json]
"""`text`, and `title` where there is one."""

MAX_UNPACKED_BYTES = 1 << 28
"""Of a Word document, which is an archive: a small one may hold any amount of nothing."""

_UNSEEN = frozenset({"script", "style", "template", "noscript", "svg", "select", "iframe"})
_BLOCKS = re.compile(
    r"address|article|aside|blockquote|br|d[dlt]|div|fieldset|fig(caption|ure)|footer|form|h[1-6]|header|hr|li|main|nav|ol"
    r"|p|pre|section|table|tbody|t[dhr]|tfoot|thead|title|ul"
)
"""Elements that begin a line of their own, where words must not run together."""

_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_XHTML = re.compile(rb"""^\s*<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)""")


_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)


class NoTextError(Exception):
    """A file holds no text that can be read; the message says why."""


def read_plain(data: bytes, encoding: str) -> Page:
    """A text as it stands. Raises UnicodeDecodeError."""
    return {"text": data.decode(marked(data, encoding) or "utf-8")}


def read_html(data: bytes, encoding: str) -> Page:
    """What a browser would show as text, a line for each block; without scripts, styles and the like."""
    said = _XHTML.search(data[:1024]) or _CHARSET.search(_COMMENT.sub(b"", data[:4096]))
    if said is None or marked(data, encoding):
        text = str(read_plain(data, encoding)["text"])
    else:
        name = said[1].decode("ascii")
        try:
            text = decode_page(data, name)
        except LookupError as error:
            raise NoTextError(f"it names an encoding that nobody knows, {name!r}") from error
    parser = _VisibleText()
    parser.feed(text)
    parser.close()
    return parser.page()


def read_docx(data: bytes, _: str) -> Page:
    """Paragraphs and tables of a Word document in their order, a line for each paragraph, tabs between cells."""
    try:
        import docx
        from docx.table import Table
    except ImportError as error:
        raise MissingDependencyError("python-docx", "documents") from error
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        # The sizes that its directory says are those that are unpacked: zipfile holds them to it.
        if sum(part.file_size for part in parts.infolist()) > MAX_UNPACKED_BYTES:
            raise NoTextError(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    document = docx.Document(io.BytesIO(data))
    lines: list[str] = []
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            # A merged cell comes once for each place that it covers.
            rows = (dict.fromkeys(cell._tc for cell in row.cells) for row in block.rows)
            lines += ["\t".join(" ".join(p.text for p in cell.p_lst) for cell in cells) for cells in rows]
        else:
            lines.append(block.text)
    return _titled("\n".join(lines), document.core_properties.title)


def read_pdf(data: bytes, _: str) -> Page:
    """The text of all pages, an empty line between two."""
    try:
        import pypdf
    except ImportError as error:
        raise MissingDependencyError("pypdf", "documents") from error
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of every oddity in a file that it reads all the same
    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise NoTextError("it is encrypted")
    text = "\n\n".join(page.extract_text() for page in reader.pages).replace("\0", "")
    if not text.strip():
        raise NoTextError("it holds no text: pictures of pages have to be recognised first")
    return _titled(text, reader.metadata.title if reader.metadata else None)


PAGES: Mapping[str, Callable[[bytes, str], Page]] = {
    ".md": read_plain,
    ".txt": read_plain,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".docx": read_docx,
    ".pdf": read_pdf,
}
"""By suffix. Each takes the bytes and the encoding that was asked for, "" for none."""


class _VisibleText(HTMLParser):
    """Collects what is shown. Tolerates every kind of broken markup, as browsers do."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._title: list[str] = []
        self._unseen: list[str] = []
        self._in_title = False

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self._in_title = tag == "title" and not self._unseen  # a picture in SVG has titles too
        if tag in _UNSEEN:
            self._unseen.append(tag)
        if _BLOCKS.fullmatch(tag):
            self._parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False
        if tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]
        if _BLOCKS.fullmatch(tag):
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self._title.append(data)
        elif not self._unseen:
            self._parts.append(data)

    def page(self) -> Page:
        lines = (" ".join(line.split()) for line in "".join(self._parts).split("\n"))
        return _titled("\n".join(line for line in lines if line), " ".join("".join(self._title).split()))


def _titled(text: str, title: str | None) -> Page:
    title = (title or "").strip()
    # Most pages begin with their title; it is not said twice.
    return {"text": text, "title": title} if title and not text.startswith(title) else {"text": text}
