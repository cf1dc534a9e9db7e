"""OpenVINO (extra `openvino`), converted from the weights in memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vecrollback.embedders.runtimes.torch_modules import quietly, traceable
from vecrollback.errors import MissingDependencyError

_TELEMETRY = "openvino_telemetry"
"""The converter does without it. With it, it forks some thirty processes for each model, to tell its makers of it: in a
process with threads a fork may hang, and nobody here has agreed."""


def convert(transformer: Any) -> Any:
    """The transformer as an OpenVINO model."""
    openvino = _library()
    module, (ids, mask) = traceable(transformer)
    with quietly():
        return openvino.convert_model(module, example_input={"input_ids": ids, "attention_mask": mask})


def session(converted: Any, runtime: Any, precision: str) -> Callable[[Any, Any], Any]:
    """Run it in float32, or in bfloat16 where `precision` says so."""
    settings: dict[str, Any] = {
        # By itself it computes in bfloat16 on processors that can, and pins one-thread processes to one core.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "ENABLE_CPU_PINNING": False,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if runtime.threads:
        settings["INFERENCE_NUM_THREADS"] = runtime.threads
    compiled = _library().Core().compile_model(converted, "CPU", settings)
    request = compiled.create_infer_request()

    def run(ids: Any, mask: Any) -> Any:
        answer = request.infer({"input_ids": ids, "attention_mask": mask})
        return answer[0]

    return run


def _library() -> Any:
    try:
        with _without(_TELEMETRY):
            import openvino
            import openvino.tools.ovc
    except ImportError as error:
        raise MissingDependencyError("openvino", "openvino") from error
    return openvino


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Let a package that was not imported yet seem absent."""
    hidden = package not in sys.modules
    if hidden:
        sys.modules[package] = None  # type: ignore[assignment]  # what makes an import raise ImportError
    try:
        yield
    finally:
        if hidden:
            del sys.modules[package]
