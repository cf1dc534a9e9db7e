"""A transformer as a module of two inputs and one output, which is what converters can follow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def traceable(transformer: Any) -> tuple[Any, tuple[Any, Any]]:
    """The module and inputs to follow it with: two texts of different lengths, so that both sizes are free."""
    import torch

    class Hidden(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    return Hidden().eval(), (torch.ones(2, 8, dtype=torch.int64), mask)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep a converter's warnings off the terminal: what it could not follow, the probes show."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
