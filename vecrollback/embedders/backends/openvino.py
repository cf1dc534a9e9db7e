"""OpenVINO (extra `openvino`), converted from the weights in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vecrollback.embedders.backends.traced import quietly, traceable
from vecrollback.errors import MissingDependencyError


def convert(transformer: Any) -> Any:
    """The transformer as an OpenVINO model."""
    openvino = _imported()
    module, (ids, mask) = traceable(transformer)
    with quietly():
        return openvino.convert_model(module, example_input={"input_ids": ids, "attention_mask": mask})


def session(converted: Any, backend: Any, precision: str) -> Callable[[Any, Any], Any]:
    """Run it in float32, or in bfloat16 where `precision` says so."""
    settings: dict[str, Any] = {
        # By itself it computes in bfloat16 on processors that can, and pins one-thread processes to one core.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "ENABLE_CPU_PINNING": False,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if backend.threads:
        settings["INFERENCE_NUM_THREADS"] = backend.threads
    compiled = _imported().Core().compile_model(converted, "CPU", settings)
    request = compiled.create_infer_request()

    def run(ids: Any, mask: Any) -> Any:
        answer = request.infer({"input_ids": ids, "attention_mask": mask})
        return answer[0]

    return run


def _imported() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise MissingDependencyError("openvino", "openvino") from error
    return openvino
