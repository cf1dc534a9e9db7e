"""Keyword search: documents by the words in them, ranked by BM25. No model is involved, so no move touches it.

SQLite's FTS5 keeps the words. The file is derived from the corpus, as the file of texts is: it lies in the cache of
this machine, is shared by its processes, follows the log before each answer, and may be deleted at any time. A delete
is in the log before it is acknowledged, so no deleted document is found.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.corpus.columns import EMBEDDED_TEXT
from vecrollback.corpus.corpus import Corpus
from vecrollback.errors import StorageUnavailableError
from vecrollback.records import CorpusState, key_parts
from vecrollback.storage.forks import FollowsForks, follow_forks, inherit

FILE = "keywords-1.sqlite"
"""The number is that of the layout: another one begins a new file."""

_LAYOUT = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), head INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS document (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, namespace TEXT NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');
INSERT OR IGNORE INTO state VALUES (1, 0);
"""
_FIND = """
SELECT d.key, -bm25(words) FROM words JOIN document d ON d.number = words.rowid
WHERE words MATCH ?1 AND (?2 IS NULL OR d.namespace = ?2) ORDER BY 2 DESC, d.key
"""
_COUNT = "SELECT count(*) FROM words WHERE words MATCH ?"
_WORD = re.compile(r"\w+")
_MAX_WORDS = 64
_AT_ONCE = 1_000
_BUSY_SECONDS = 60.0


class KeywordHit(NamedTuple):
    """A document by its key, and how well its words fit: higher is better, and only comparable within one answer."""

    key: str
    score: float


class KeywordIndex(FollowsForks):
    """The words of all documents of a store. Safe to use from many threads and processes.

    Args:
        corpus: Whose documents they are.
        folder: Where this machine keeps what it derives from the store.
    """

    def __init__(self, corpus: Corpus, folder: Path) -> None:
        self._corpus, self._path = corpus, folder / FILE
        self._connection: sqlite3.Connection | None = None
        self._opened = 0
        self._lock = threading.RLock()
        follow_forks(self)

    def forked(self) -> None:
        inherit(self._connection)
        self._connection, self._lock = None, threading.RLock()

    def search(
        self, query: str, k: int, *, namespace: str | None = "", allowed: pa.Array | None = None
    ) -> list[KeywordHit]:
        """The k documents that fit a query best, of those that hold any of its words.

        Args:
            query: Words. Nothing in it is an operator.
            k: How many at most.
            namespace: Where to look, "" for documents in none; None for everywhere.
            allowed: Keys of the documents that may be found. None for all.

        Returns:
            The best first; documents of equal score by key.

        Raises:
            StorageUnavailableError: The file cannot be written or read.
        """
        words = list(dict.fromkeys(_WORD.findall(query)))[:_MAX_WORDS]
        if not words:
            return []
        with self._lock, self._current() as connection:
            # A word that most documents hold is worth nothing in BM25 (FTS5 gives it a millionth), and costs the most.
            rare = _rare_words(connection, words)
            hits = _find(connection, rare, k, namespace, allowed) if 0 < len(rare) < len(words) else []
            return hits if len(hits) == k else _find(connection, words, k, namespace, allowed)

    def close(self) -> None:
        """Close the file. Idempotent; the next search opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    @contextmanager
    def _current(self) -> Iterator[sqlite3.Connection]:
        """The file at the head of the log. A damaged one is made anew, once."""
        try:
            yield self._caught_up()
        except sqlite3.OperationalError as error:  # busy for a minute, or no room
            raise StorageUnavailableError(f"keywords cannot be searched: {error}", hint=f"see {self._path}") from error
        except sqlite3.DatabaseError:
            self.close()
            self._path.unlink(missing_ok=True)
            raise StorageUnavailableError(
                f"the file of keywords was damaged, and is gone: {self._path}", hint="ask again: it is written anew"
            ) from None

    def _caught_up(self) -> sqlite3.Connection:
        if self._connection is not None and _file_number(self._path) != self._opened:
            self.close()  # somebody took the file away, as a purge does: what is open here is not to be used any more
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.executescript(_LAYOUT)
            self._opened = _file_number(self._path)
        connection = self._connection
        # In this order: a head of the log that was read later and is lower says that the log went back in time.
        head = _head(connection)
        if head != self._corpus.state().head:
            self._corpus.at_head(lambda state: self._follow(connection, state))
        return connection

    def _follow(self, connection: sqlite3.Connection, state: CorpusState) -> None:
        """Take in what changed; all of it or nothing, so that the file is always that of one head."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            head = _head(connection)
            if head > state.head:
                if self._corpus.state().head >= head:
                    return  # another process has been quicker
                connection.execute("DELETE FROM words")
                connection.execute("DELETE FROM document")
                head = 0
            columns = ["id", "text", "_deleted", EMBEDDED_TEXT]
            for batch in self._corpus.scan(state.version, columns=columns, after=head):
                _take_in(connection, batch)
            connection.execute("UPDATE state SET head = ?", (state.head,))
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _matching(words: Sequence[str]) -> str:
    # Every word in quotes: what a user types is never a part of FTS5's own language.
    return " OR ".join(f'"{word}"' for word in words)


def _rare_words(connection: sqlite3.Connection, words: Sequence[str]) -> list[str]:
    """Those of the words that no more than half of the documents hold."""
    if len(words) == 1:
        return list(words)
    [half] = connection.execute("SELECT count(*) / 2 FROM document").fetchone()
    counts = (connection.execute(_COUNT, (_matching([word]),)).fetchone()[0] for word in words)
    return [word for word, count in zip(words, counts, strict=True) if count <= half]


def _find(
    connection: sqlite3.Connection, words: Sequence[str], k: int, namespace: str | None, allowed: pa.Array | None
) -> list[KeywordHit]:
    hits: list[KeywordHit] = []
    rows = connection.execute(_FIND, (_matching(words), namespace))
    while len(hits) < k and (batch := rows.fetchmany(k if allowed is None else _AT_ONCE)):
        hits += [KeywordHit(*row) for row in batch if allowed is None]
        if allowed is not None:
            fits = pc.is_in(pa.array([key for key, _ in batch], pa.string()), value_set=allowed).to_pylist()
            hits += [KeywordHit(*row) for row, fit in zip(batch, fits, strict=True) if fit]
    rows.close()
    return hits[:k]


def _take_in(connection: sqlite3.Connection, batch: pa.RecordBatch) -> None:
    rows = zip(*(batch[name].to_pylist() for name in ("id", "text", "_deleted", EMBEDDED_TEXT)), strict=True)
    for key, own_text, deleted, for_model in rows:
        # Whoever gives the model a title or a context means the words in it, too.
        text = own_text if for_model is None else for_model if own_text in for_model else f"{own_text}\n{for_model}"
        number = connection.execute("SELECT number FROM document WHERE key = ?", (key,)).fetchone()
        if number is not None:
            connection.execute("DELETE FROM words WHERE rowid = ?", number)
        if deleted:
            connection.execute("DELETE FROM document WHERE key = ?", (key,))
            continue
        if number is None:
            namespace, _ = key_parts(key)
            added = connection.execute("INSERT INTO document (key, namespace) VALUES (?, ?)", (key, namespace))
            number = (added.lastrowid,)
        connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (*number, text))


def _file_number(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _head(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT head FROM state").fetchone()[0])
