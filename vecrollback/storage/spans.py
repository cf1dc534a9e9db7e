"""Spans of OpenTelemetry around what takes its time: `vecrollback.embed`, `.search`, `.switch`, `.check`.

They are made where somebody has set OpenTelemetry up in this process: `vecrollback serve --otel`, or a program of your
own. Elsewhere nothing is imported for them, so that a rollback depends on it as little as on a model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol


class Noted(Protocol):
    """What is said of a span while it lasts."""

    def __call__(self, **facts: str | int | float | bool) -> None: ...


def span(name: str, **facts: str | int | float | bool) -> AbstractContextManager[Noted]:
    """Measure a piece of work as a span below the one that is under way.

    Args:
        name: What is done, `embed`.
        facts: Numbers and names of pairs; never a query or a text.

    Returns:
        A block around the work. It yields a function that takes more facts, such as a verdict.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    return _NO_SPAN if trace is None else _span(trace, name, facts)


@contextmanager
def _span(trace: Any, name: str, facts: dict[str, Any]) -> Iterator[Noted]:
    # An exception's message may hold what somebody asked; its class says enough.
    options = {"attributes": _named(facts), "record_exception": False, "set_status_on_exception": False}
    with trace.get_tracer("vecrollback").start_as_current_span(f"vecrollback.{name}", **options) as current:
        try:
            yield lambda **more: current.set_attributes(_named(more))
        except BaseException as error:
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(trace.StatusCode.ERROR)
            raise


def _named(facts: dict[str, Any]) -> dict[str, Any]:
    return {f"vecrollback.{name}": value for name, value in facts.items()}


def _nothing(**_: object) -> None:
    """Nobody is told."""


_NO_SPAN: AbstractContextManager[Noted] = nullcontext(_nothing)
