"""The least time that a transformer's arithmetic takes: its operations at the rate of this machine's matrix products.

What a model does beside products of large matrices (softmax, norms, lookups, padding) counts as nothing: a share of
this ceiling says how much of the processor's arithmetic reached the model, and 1 cannot be had.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_CPU_SIZE, _DEVICE_SIZE = 768, 4_096
"""Rows and columns of products that take milliseconds."""

_SECONDS, _TRIES = 0.2, 12

_rates: dict[tuple[str, str, int], float] = {}


@dataclass(frozen=True, slots=True)
class Workload:
    """Arithmetic of a model: `weights` multiply every token, and every pair of tokens meets in `layers` of `width`."""

    weights: int
    width: int
    layers: int

    def operations(self, tokens: int, squares: int) -> float:
        """Floating-point operations over texts of so many tokens; `squares`: the sum of the texts' squared lengths."""
        return 2.0 * self.weights * tokens + 4.0 * self.width * self.layers * squares


def work_of(transformer: Any) -> Workload:
    """Read off a transformer of transformers. Embedding tables are looked up, a pooler reads one token: left out."""
    import torch

    weights = sum(
        module.weight.numel()
        for name, module in transformer.named_modules()
        if isinstance(module, torch.nn.Linear) and "pooler" not in name.split(".")
    )
    config = getattr(transformer.config, "text_config", None) or transformer.config
    width, layers = (getattr(config, name, None) or 0 for name in ("hidden_size", "num_hidden_layers"))
    return Workload(weights, int(width), int(layers))


def matmul_rate(device: str, dtype: Any, threads: int | None = None, *, measure: bool = True) -> float | None:
    """Floating-point operations a second of large products, the fastest of a dozen; measured once, in half a second.

    `threads`: of another runtime than torch, which is given its part of what torch reaches with its own number.
    `measure`: else None, when it was not measured before.
    """
    import torch

    own = torch.get_num_threads() if device == "cpu" else 1
    key = device, str(dtype), own
    if key not in _rates:
        if not measure:
            return None
        _rates[key] = _measure_rate(device, dtype)
    return _rates[key] * (threads / own if threads and device == "cpu" else 1.0)


def _measure_rate(device: str, dtype: Any) -> float:
    import torch

    kind = torch.device(device).type
    size = _CPU_SIZE if kind == "cpu" else _DEVICE_SIZE
    a, b = (torch.randn(size, size, device=device, dtype=torch.float32).to(dtype) for _ in range(2))
    ways: list[Callable[[], object]] = [lambda: torch.mm(a, b)]
    if kind == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        # torch multiplies with MKL, which on some processors reaches half of what oneDNN does, as other runtimes use
        operands = [one.to_mkldnn() for one in (a, b, torch.zeros(size))]
        ways.append(lambda: torch.nn.functional.linear(*operands))
    with torch.inference_mode():
        return 2.0 * size**3 / min(_least_seconds(way, _wait(kind)) for way in ways)


def _least_seconds(work: Callable[[], object], wait: Callable[[], None]) -> float:
    work()
    least, ends = float("inf"), time.perf_counter() + _SECONDS
    for _ in range(_TRIES):
        # A device works on after the call returns: both ends of the measurement wait for it.
        wait()
        start = time.perf_counter()
        work()
        wait()
        least = min(least, time.perf_counter() - start)
        if time.perf_counter() > ends:
            break
    return least


def _wait(kind: str) -> Callable[[], None]:
    """A function that returns when the device has finished all its work."""
    import torch

    module = getattr(torch, kind, None)
    synchronize: Callable[[], None] = getattr(module, "synchronize", lambda: None) if kind != "cpu" else lambda: None
    return synchronize
