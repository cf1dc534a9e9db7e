"""What readers and writers of files raise, as errors of this project: the one place that knows Arrow and Lance.

A damaged file, a full disk and a mistake in a program all arrive here as exceptions of foreign classes. Damage is what
this calls damage: an error of the program's own (a name that is missing, a half-imported module) goes through
unchanged, because "restore from a backup" would be the wrong cure for it.
"""

from __future__ import annotations

import errno
import os
import re
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vecrollback.errors import CorruptArtifactError, FailedError, VecrollbackError

if TYPE_CHECKING:
    import numpy as np

MEND_TABLE = "put the file back from a backup of the store, or `vecrollback snapshot import` a bundle into a new one"

_NOT_DAMAGE = {
    errno.ENOSPC: "free some space: `vecrollback prune` says what can go",
    errno.EDQUOT: "free some space, or raise the quota",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "raise the system's limit of open files",
    errno.EACCES: "let this user read and write the store's files",
    errno.EPERM: "let this user read and write the store's files",
    errno.EROFS: "the file system is mounted read-only: mount it for writing",
    errno.ENOMEM: "free some memory, then run the same command again",
    errno.EINTR: "run the same command again",
}
_LONGEST_HEADER = 1 << 16
_SAID_NUMBER = re.compile(r"os error (\d+)")  # how Rust puts it into words


@contextmanager
def readable(what: str, *, hint: str = MEND_TABLE) -> Iterator[None]:
    """Raise CorruptArtifactError for damaged bytes, and FailedError for other reasons why a file cannot be read.

    Errors that are not about files go through unchanged.
    """
    try:
        yield
    except VecrollbackError:
        raise
    except BaseException as error:
        ours = translated(error, what, hint=hint)
        if ours is None:
            raise
        raise ours from error


def mapped_array(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Map the array of a `.npy` file. NumPy would take memory for a header as long as the file says it is.

    Raises ValueError, EOFError or OSError for whatever is not one whole array of numbers.
    """
    import numpy as np

    with path.open("rb") as stream:
        head = stream.read(12)
    if head[:6] == b"\x93NUMPY" and head[6] > 1 and int.from_bytes(head[8:12], "little") > _LONGEST_HEADER:
        raise ValueError(f"its header says that it is {int.from_bytes(head[8:12], 'little')} bytes long")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (TypeError, OverflowError, RecursionError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(f"its header is not that of an array: {error}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("it is an archive of several arrays")
    return array


def translated(error: BaseException, what: str, *, hint: str = MEND_TABLE) -> FailedError | None:
    """The error to raise in place of this one; None for an error that is not about files."""
    number = _system_number(error)
    if number in _NOT_DAMAGE:
        return FailedError(f"{what} cannot be used: {os.strerror(number)}", hint=_NOT_DAMAGE[number])
    if _is_about_bytes(error):
        return CorruptArtifactError(f"{what} cannot be read: {_first_line(error)}", hint=hint)
    return None


def _system_number(error: BaseException) -> int:
    if not isinstance(error, OSError):
        return 0
    if error.errno is not None:
        return error.errno
    match = _SAID_NUMBER.search(str(error))  # Lance raises an OSError without a number
    return int(match[1]) if match else 0


def _is_about_bytes(error: BaseException) -> bool:
    import pyarrow as pa

    if type(error).__name__ == "PanicException":  # of Rust code; a BaseException whose class cannot be imported
        return True
    if isinstance(error, OSError | pa.ArrowInvalid | pa.ArrowSerializationError | UnicodeDecodeError):
        return True
    # Lance raises these for damage ("Version not found error"), Python for a mistake.
    return type(error) in (ValueError, RuntimeError) and (_raised_by_lance(error) or "LanceError" in str(error))


def _raised_by_lance(error: BaseException) -> bool:
    """Whether the innermost frame of Python is one of Lance's own."""
    trace, module = error.__traceback__, ""
    while trace is not None:
        module, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return module.partition(".")[0] == "lance"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
