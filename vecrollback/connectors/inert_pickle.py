"""What is in a pickle, without running any of it.

Unpickling calls whatever the file names, which may be anything. Here a class or function that is not plain data is
never imported: an inert value stands for what it would have made, with the arguments and the state that were written.
"""

from __future__ import annotations

import datetime as dt
import decimal
import pickle
import uuid
from collections import OrderedDict
from typing import Any, BinaryIO

from vecrollback.errors import UntrustedError

_PLAIN: dict[tuple[str, str], Any] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("collections", "OrderedDict"): OrderedDict,
    ("datetime", "datetime"): dt.datetime,
    ("datetime", "date"): dt.date,
    ("datetime", "time"): dt.time,
    ("datetime", "timedelta"): dt.timedelta,
    ("datetime", "timezone"): dt.timezone,
    ("decimal", "Decimal"): decimal.Decimal,
    ("uuid", "UUID"): uuid.UUID,
}


class InertValue(dict[Any, Any]):
    """What stands for an object of a class that was not imported: its attributes as a dict.

    `name`: the class. `arguments`: what it was made with.
    """

    name = ""

    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        self.arguments = arguments
        self.items_added: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        # Pydantic's objects have their attributes one level down, those with slots beside.
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.update(part.get("__dict__") or part)

    def append(self, item: Any) -> None:
        self.items_added.append(item)

    def extend(self, items: list[Any]) -> None:
        self.items_added += items

    def add(self, item: Any) -> None:
        self.items_added.append(item)


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        return type(name.rpartition(".")[2], (InertValue,), {"name": f"{module}.{name}"})

    def persistent_load(self, _key: Any) -> Any:
        return InertValue()


def load_inert(stream: BinaryIO, place: str) -> Any:
    """The content of a pickle.

    Args:
        stream: A file of a pickle.
        place: What messages call it.

    Returns:
        Plain data as it is, and an `InertValue` for each other object.

    Raises:
        UntrustedError: It cannot be read like this.
    """
    try:
        return _InertUnpickler(stream).load()
    except Exception as error:  # whatever a damaged or a crafted pickle raises
        raise UntrustedError(
            f"{place}: the pickle cannot be read without running it: {type(error).__name__}: {error}",
            hint="write its texts as JSON lines, and give them with --texts",
        ) from error
