"""Changes to a transformer as a torch module: oneDNN multiplies in it, or a converter traces it.

torch multiplies float32 with MKL, and comes with oneDNN but uses that for bfloat16 only. On processors that MKL was not
written for, AMD's above all, oneDNN is about twice as fast; what it gains pays for packing every input.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vecrollback.errors import UsageError


def repack(transformer: Any) -> None:
    """Let every linear layer multiply with oneDNN, in place."""
    import torch

    if not torch.backends.mkldnn.is_available():
        raise UsageError("this torch was built without oneDNN", hint="--accelerate auto")
    for module in transformer.modules():
        if isinstance(module, torch.nn.Linear):
            module.forward = _onednn_forward(module)


def _onednn_forward(linear: Any) -> Callable[[Any], Any]:
    import torch

    weight = linear.weight.detach().to_mkldnn()
    bias = None if linear.bias is None else linear.bias.detach().to_mkldnn()

    def forward(inputs: Any) -> Any:
        return torch.nn.functional.linear(inputs.to_mkldnn(), weight, bias).to_dense()

    return forward


def traceable(transformer: Any) -> tuple[Any, tuple[Any, Any]]:
    """The module, and inputs to trace it with: two texts of different lengths, so that both sizes stay free."""
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
