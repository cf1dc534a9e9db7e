"""Which accelerator each worker process of this machine gets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from vecrollback.embedders import Embedder

VISIBLE = "CUDA_VISIBLE_DEVICES"


def devices_for(embedder: Embedder) -> tuple[str, ...]:
    """What to name to each worker in turn as its only device; empty: leave it to the model.

    A model whose string names one device stays there, in every worker.
    """
    torch = sys.modules.get("torch")  # a model that runs in it has been loaded by now, for its probes
    if torch is None or getattr(embedder, "device", None) not in (None, "cuda"):
        return ()
    return named(torch.cuda.device_count(), os.environ)


def named(count: int, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the devices that this process sees; empty when there is no choice.

    With the variable set they are what it lists: numbers, or ids of devices or of their parts.
    """
    if count < 2:
        return ()
    listed = [name.strip() for name in environment.get(VISIBLE, "").split(",") if name.strip()]
    return tuple(listed[:count]) if listed else tuple(map(str, range(count)))
