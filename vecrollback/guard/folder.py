"""A folder with a FAISS index under guard; its stamp is a file in it. Or the file of a stamp alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vecrollback.connectors import open_connector
from vecrollback.embedders.stamp import STAMP_FILE
from vecrollback.errors import UsageError
from vecrollback.guard.places import DrawnRows, draw, rows_of

_INDEX = "index.faiss"


class FolderPlace:
    """`faiss:FOLDER` or a folder. A path that ends in `.json` is a stamp alone: its rows are elsewhere, in memory say.

    LangChain's folder has the texts too; of any other only the vectors can be read.
    """

    def __init__(self, place: str) -> None:
        path = Path(place.removeprefix("faiss:")).expanduser()
        self._folder = None if path.suffix == ".json" else path
        self._file = path if self._folder is None else path / STAMP_FILE
        self.name = f"folder {path}" if self._folder else f"stamp {path}"
        if self._folder is not None and not self._folder.is_dir():
            raise UsageError(
                f"{self.name} does not exist", hint="name the folder of an index, or FILE.json for a stamp"
            )

    def read(self) -> str | None:
        try:
            return self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def write(self, stamp: str | None) -> None:
        if stamp is None:
            self._file.unlink(missing_ok=True)
            return
        # Whole or not at all: a program may be opening the folder now.
        part = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
        part.write_text(stamp, encoding="utf-8")
        part.replace(self._file)

    def count(self) -> int:
        if self._index is None:
            return 0
        connector = open_connector(self._index)
        try:
            return connector.count
        finally:
            connector.close()

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows:
        if self._index is None:
            return DrawnRows()
        connector = open_connector(self._index)
        try:
            rows = np.array(draw(connector.count, size, chance), np.int64)
            part = connector.take(rows, None)
            return rows_of(part.records or [{} for _ in rows], list(part.vectors))
        finally:
            connector.close()

    @property
    def _index(self) -> str | None:
        """What a connector reads of the folder; None where nothing was saved yet."""
        if self._folder is None or not (self._folder / _INDEX).is_file():
            return None
        beside = (self._folder / "index.pkl").is_file()
        return f"faiss:{self._folder if beside else self._folder / _INDEX}"
