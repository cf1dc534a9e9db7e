"""ONNX Runtime (extra `onnx`), exported from the weights in memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from vecrollback.embedders.runtimes.torch_modules import quietly, traceable
from vecrollback.errors import MissingDependencyError


def convert(transformer: Any) -> bytes:
    """The transformer as an ONNX file."""
    import torch

    _library()
    module, inputs = traceable(transformer)
    names = ["input_ids", "attention_mask"]
    free = {name: {0: "texts", 1: "tokens"} for name in (*names, "hidden")}
    buffer = io.BytesIO()
    with quietly():
        # dynamo=False: the newer exporter needs one more package
        torch.onnx.export(
            module, inputs, buffer, input_names=names, output_names=["hidden"], dynamic_axes=free, dynamo=False
        )
    return buffer.getvalue()


def session(converted: bytes, runtime: Any, _precision: str) -> Callable[[Any, Any], Any]:
    """Run it on the processor, in float32."""
    onnxruntime = _library()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if runtime.threads:
        options.intra_op_num_threads = runtime.threads
    runner = onnxruntime.InferenceSession(converted, options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: runner.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def _library() -> Any:
    try:
        import onnx  # noqa: F401  # what torch exports with
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError("onnxruntime", "onnx") from error
    return onnxruntime
