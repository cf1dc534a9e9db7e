"""torch itself with oneDNN for its matrix products, which it comes with and uses for bfloat16 only.

torch multiplies float32 with MKL. On processors that MKL was not written for, AMD's above all, oneDNN is about twice as
fast; what it gains pays for packing every input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vecrollback.errors import UsageError


def repack(transformer: Any) -> None:
    """Let every linear layer multiply with oneDNN, in place."""
    import torch

    if not torch.backends.mkldnn.is_available():
        raise UsageError("this torch was built without oneDNN", hint="--accelerate auto")
    for module in transformer.modules():
        if isinstance(module, torch.nn.Linear):
            module.forward = _multiplying(module)


def _multiplying(linear: Any) -> Callable[[Any], Any]:
    import torch

    weight = linear.weight.detach().to_mkldnn()
    bias = None if linear.bias is None else linear.bias.detach().to_mkldnn()

    def forward(given: Any) -> Any:
        return torch.nn.functional.linear(given.to_mkldnn(), weight, bias).to_dense()

    return forward
