"""What bytes of text are written in: a byte order mark says it, then whoever asks, then the page itself.

A name in a page means what browsers take it for, by the Encoding Standard of the WHATWG (https://encoding.spec.whatwg.org):
`iso-8859-1` has been written for pages of Windows-1252 since there are pages. Python's codecs take names literally.
"""

from __future__ import annotations

import codecs
import re
from functools import cache

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
MARK_BYTES = 3

_MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    # A name that could be read out of the bytes is not in UTF-16: there is a zero beside each letter.
    "utf-16": "utf-8",
    "utf-16-be": "utf-8",
    "utf-16-le": "utf-8",
}
"""By Python's codec of the name: the codec of what is meant, where that is another one."""

_UNKNOWN = {
    "unicode-1-1-utf-8": "utf-8",
    "unicode11utf8": "utf-8",
    "unicode20utf8": "utf-8",
    "x-unicode20utf8": "utf-8",
    "csunicode": "utf-8",
    "iso-10646-ucs-2": "utf-8",
    "ucs-2": "utf-8",
    "unicode": "utf-8",
    "unicodefeff": "utf-8",
    "unicodefffe": "utf-8",
    "x-user-defined": "cp1252",
    "x-cp1250": "cp1250",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "x-cp1253": "cp1253",
    "x-cp1254": "cp1254",
    "x-cp1255": "cp1255",
    "x-cp1256": "cp1256",
    "x-cp1257": "cp1257",
    "x-cp1258": "cp1258",
    "dos-874": "cp874",
    "windows-874": "cp874",
    "csiso88596e": "iso8859-6",
    "csiso88596i": "iso8859-6",
    "iso-8859-6-e": "iso8859-6",
    "iso-8859-6-i": "iso8859-6",
    "sun_eu_greek": "iso8859-7",
    "csiso88598e": "iso8859-8",
    "csiso88598i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "iso-8859-8-i": "iso8859-8",
    "logical": "iso8859-8",
    "visual": "iso8859-8",
    "csisolatin9": "iso8859-15",
    "koi": "koi8-r",
    "koi8": "koi8-r",
    "koi8-ru": "koi8-u",
    "csmacintosh": "mac-roman",
    "mac": "mac-roman",
    "x-mac-roman": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-mac-ukrainian": "mac-cyrillic",
    "csgb2312": "gb18030",
    "gb_2312": "gb18030",
    "gb_2312-80": "gb18030",
    "x-gbk": "gb18030",
    "cn-big5": "big5hkscs",
    "x-x-big5": "big5hkscs",
    "cseucpkdfmtjapanese": "euc_jp",
    "x-euc-jp": "euc_jp",
    "windows-31j": "cp932",
    "x-sjis": "cp932",
    "cseuckr": "cp949",
    "csksc56011987": "cp949",
    "iso-ir-149": "cp949",
    "ks_c_5601-1989": "cp949",
    "ksc_5601": "cp949",
    "windows-949": "cp949",
}
"""Names of the standard that Python does not know."""

_RUN_TOGETHER = re.compile(r"iso8859(\d+)")
_OF_WINDOWS = re.compile(r"cp125\d|cp874")


def marked(data: bytes, asked: str = "") -> str:
    """The encoding that a byte order mark at the beginning names, else the one that was asked for, "" for none."""
    if asked and codecs.lookup(asked).name.startswith("utf-32"):  # whose mark begins as that of UTF-16 does
        return asked
    return next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), asked)


def decode_page(data: bytes, name: str) -> str:
    """Decode what a page says to be written in the encoding of this name. Raises LookupError, UnicodeDecodeError."""
    codec = codec_of(name)
    # The standard has no byte from 80 to 9f that is not a character; those that Windows leaves open are controls.
    if _OF_WINDOWS.fullmatch(codec):
        return codecs.charmap_decode(data, "strict", _with_controls(codec))[0]
    return data.decode(codec)


def codec_of(name: str) -> str:
    """The codec of Python for a name in a page. Raises LookupError."""
    name = name.lower()
    name = _RUN_TOGETHER.sub(r"iso8859-\1", _UNKNOWN.get(name, name))
    codec = codecs.lookup(name).name
    return _MEANT.get(codec, codec)


@cache
def _with_controls(codec: str) -> str:
    characters = [bytes([byte]).decode(codec, "replace") for byte in range(256)]
    nothing = "\ufffe"  # what `charmap_decode` takes for a byte without a character
    return "".join(
        one if one != "\ufffd" else chr(byte) if byte < 0xA0 else nothing for byte, one in enumerate(characters)
    )
