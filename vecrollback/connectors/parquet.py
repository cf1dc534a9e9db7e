"""`parquet:FILE`: a Parquet file, or several, with a column of lists."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vecrollback.connectors.arrow_rows import ArrowConnector
from vecrollback.connectors.base import BLOCK_ROWS, Connector, OpenOptions, ends_in
from vecrollback.embedders.stamp import PARQUET_STAMP
from vecrollback.errors import UsageError
from vecrollback.records import Metric
from vecrollback.records.arrays import Numbers

_BUFFER = 1 << 20
_KEYS = {"access_key": "access_key_id", "secret_key": "secret_access_key", "session_token": "session_token"}


class ParquetColumns:
    """Parquet has no way to one row: taking some streams the row groups that hold them."""

    def __init__(self, path: str, open_file: Callable[[str], Any] | None = None) -> None:
        self.place = f"parquet:{path}"
        try:
            # Buffered, and not fetched ahead: by default Arrow keeps the pages of a whole row group.
            source = open_file(path) if open_file else path
            self._file = pq.ParquetFile(source, buffer_size=_BUFFER, pre_buffer=False)
        except (OSError, pa.ArrowException) as error:
            reason = "there is no such file" if not Path(path).exists() and open_file is None else str(error)
            raise UsageError(f"{self.place}: {reason}", hint="name a whole Parquet file") from error
        self.schema, self.count = self._file.schema_arrow, int(self._file.metadata.num_rows)
        stamp = (self.schema.metadata or {}).get(PARQUET_STAMP)
        self.stamp = stamp.decode(errors="replace") if stamp else None
        groups = [self._file.metadata.row_group(n).num_rows for n in range(self._file.num_row_groups)]
        self._ends = np.cumsum(groups, dtype=np.int64)

    def metric(self, _vector: str) -> Metric | None:
        return None  # the format has no word for it

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for group in range(self._file.num_row_groups):
            yield from self._stream(group, names)

    def take(self, rows: Numbers, names: Sequence[str]) -> pa.Table:
        # Ascending, so that each row group is streamed once; `places` puts the rows back in the order asked for.
        unique, places = np.unique(rows, return_inverse=True)
        groups = np.unique(np.searchsorted(self._ends, unique, side="right"))
        parts = [part for group in groups.tolist() for part in self._rows_of_group(int(group), unique, names)]
        return pa.Table.from_batches(parts).take(pa.array(places)) if parts else self.schema.empty_table()

    def close(self) -> None:
        self._file.close()

    def _rows_of_group(self, group: int, rows: Numbers, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        first = int(self._ends[group - 1]) if group else 0
        for batch in self._stream(group, names):
            low, high = np.searchsorted(rows, [first, first + batch.num_rows])
            if high > low:
                yield batch.take(pa.array(rows[low:high] - first))
            first += batch.num_rows

    def _stream(self, group: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self._file.iter_batches(BLOCK_ROWS, row_groups=[group], columns=list(names), use_threads=False)


class ParquetFiles:
    """Several files one after the other, in the order of their names; columns that all of them have."""

    def __init__(self, place: str, paths: Sequence[str], open_file: Callable[[str], Any] | None = None) -> None:
        self.place = place
        self._parts = [ParquetColumns(path, open_file) for path in paths]
        shared = [set(part.schema.names) for part in self._parts]
        first = self._parts[0].schema
        self.schema = pa.schema([field for field in first if all(field.name in names for names in shared)])
        self._ends = np.cumsum([part.count for part in self._parts], dtype=np.int64)
        self.count = int(self._ends[-1])

    def metric(self, _vector: str) -> Metric | None:
        return None

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for part in self._parts:
            yield from part.batches(names)

    def take(self, rows: Numbers, names: Sequence[str]) -> pa.Table:
        at = np.searchsorted(self._ends, rows, side="right")
        order, tables = [], []
        for number in np.unique(at).tolist():
            here = np.flatnonzero(at == number)
            first = int(self._ends[number - 1]) if number else 0
            tables.append(self._parts[number].take(rows[here] - first, names).select(list(names)))
            order.append(here)
        if not tables:
            return self.schema.empty_table()
        places = np.argsort(np.concatenate(order), kind="stable")
        return pa.concat_tables(tables, promote_options="permissive").take(pa.array(places))

    def close(self) -> None:
        for part in self._parts:
            part.close()


def _open(place: str) -> ParquetColumns | ParquetFiles:
    """A file, a folder of them, a pattern; the same in object storage."""
    where = place.removeprefix("parquet:")
    if where.startswith("s3://"):
        return _in_storage(where)
    path = Path(where).expanduser()
    if path.is_dir():
        found = sorted(str(one) for one in path.rglob("*.parquet"))
        what = f"folder {path} holds no *.parquet"
    elif glob.has_magic(str(path)) and not path.exists():
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # a whole pattern
        what = f"nothing matches {path}"
    else:
        return ParquetColumns(str(path))
    if not found:
        raise UsageError(f"parquet:{path}: {what}", hint="parquet:FILE, parquet:FOLDER or parquet:'part-*.parquet'")
    return ParquetFiles(f"parquet:{path}", found)


def _in_storage(where: str) -> ParquetFiles:
    import pyarrow.fs as pf

    from vecrollback.storage.s3_address import parse_address

    address = parse_address(where)
    scheme, _, host = address.endpoint.partition("://")
    options = {"region": address.region, "endpoint_override": host, "scheme": scheme}
    options |= {name: address.keys.get(f"aws_{key}", "") for name, key in _KEYS.items()}
    storage = pf.S3FileSystem(**{name: value for name, value in options.items() if value})
    whole = f"{address.bucket}/{address.prefix}".rstrip("/")
    base = glob.escape(whole) if not glob.has_magic(whole) else whole
    folder = whole.partition("*")[0].rpartition("/")[0] if glob.has_magic(whole) else whole
    try:
        entries = storage.get_file_info(pf.FileSelector(folder, recursive=True, allow_not_found=True))
        if storage.get_file_info(whole).type == pf.FileType.File:
            found = [whole]
        else:
            every = sorted(one.path for one in entries if one.type == pf.FileType.File)
            pattern = base if glob.has_magic(whole) else f"{base}/*.parquet"
            found = [path for path in every if fnmatch.fnmatchcase(path, pattern)]
    except OSError as error:
        raise UsageError(f"parquet:{where}: {error}", hint="AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL") from error
    if not found:
        raise UsageError(f"parquet:{where}: no Parquet file is there", hint="s3://BUCKET/PREFIX, or a pattern with *")
    return ParquetFiles(f"parquet:{where}", found, storage.open_input_file)


class ParquetKind:
    """`parquet:FILE`, or a file that ends in `.parquet`; a folder, a pattern with `*`, or `s3://bucket/prefix`."""

    form, texts_beside = "parquet:FILE", False

    def claims(self, place: str) -> bool:
        return ends_in(place, ".parquet") or (place.startswith("s3://") and ".parquet" in place)

    def open(self, place: str, options: OpenOptions) -> Connector:
        return ArrowConnector(_open(place), options.vector)
