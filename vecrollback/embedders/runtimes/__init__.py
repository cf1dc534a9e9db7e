"""Other runtimes for the weights of a sentence-transformers model: the same model, faster on some processors.

Only the transformer runs elsewhere; tokenizer, pooling, further layers and unit length stay those of the pair's own
embedder. Whether the vectors are the same is for the probes to say, on the machine that embeds. A quantised copy
(int8) is another model: it is not offered as a runtime, but as an embedder of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from vecrollback.errors import UsageError

NAMES = ("torch", "torch-onednn", "torch-bf16", "onnx", "openvino", "openvino-bf16")

Forward = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime, tokens per batch, and threads; None leaves the threads as the process has them."""

    name: str
    batch_tokens: int
    threads: int | None = None


def check_name(name: str) -> None:
    """Raise UsageError for a name that is not in `NAMES`."""
    if "int8" in name or "quant" in name:
        raise UsageError(
            f"{name!r} is another model: its vectors differ from the full one's by more than any rounding does",
            hint="give the quantised model as an embedder and build a pair of its own",
        )
    if name not in NAMES:
        raise UsageError(f"{name!r} is not a valid runtime", hint=f"use one of off, auto, {', '.join(NAMES)}")


def accelerate(model: Any, runtime: Runtime, converted: dict[str, Any]) -> None:
    """Let the transformer of a SentenceTransformer run in this runtime.

    `converted` keeps what was converted, for the next time. Raises MissingDependencyError, and whatever a converter
    raises over a model that it does not know.
    """
    check_name(runtime.name)
    library, _, precision = runtime.name.partition("-")
    if library == "torch":
        if precision == "bf16":
            import torch

            model.to(torch.bfloat16)
        elif precision == "onednn":
            from vecrollback.embedders.runtimes.torch_modules import repack

            repack(model[0].auto_model)
        return
    transformer = model[0].auto_model
    runner: Any = import_module(f"{__name__}.{library}")
    if library not in converted:
        converted[library] = runner.convert(transformer)
    transformer.forward = _forward_through(runner.session(converted[library], runtime, precision))


def _forward_through(run: Callable[[Any, Any], Any]) -> Forward:
    """A `forward` of transformers over a function of token ids and mask, both NumPy arrays."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    def forward(input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        hidden = run(input_ids.numpy(), attention_mask.numpy())
        return BaseModelOutput(last_hidden_state=torch.from_numpy(hidden))

    return forward
