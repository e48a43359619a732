"""ONNX Runtime on this machine: which distribution is installed, which providers really start."""

from __future__ import annotations

import importlib.metadata
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import ProviderError, first_line, require

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
# Ends the process on float16 transformers behind a convolution, in ONNX Runtime 1.31; without it they run.
_CRASHING = ["FuseFp16InitializerToFp32NodeTransformer"]
# Seconds that a model gets to be loaded, and for its first batch; TensorRT builds its engine meanwhile.
PATIENCE = {"CPUExecutionProvider": 120.0, "CUDAExecutionProvider": 300.0, "TensorrtExecutionProvider": 3600.0}


def distributions() -> dict[str, str]:
    """Installed ONNX Runtime distributions and their versions; more than one break each other."""
    found = importlib.metadata.distributions
    return {name: one.version for name in ("onnxruntime", "onnxruntime-gpu") for one in islice(found(name=name), 1)}


def runtime() -> ModuleType:
    """The `onnxruntime` module; `ProviderError` when none is installed or two overwrite each other."""
    found = distributions()
    if len(found) > 1:
        raise ProviderError(
            "expected one ONNX Runtime, found onnxruntime and onnxruntime-gpu, which overwrite each other's files; "
            "uninstall both, then `pip install smoothcert[cpu]` or `pip install smoothcert[gpu]`"
        )
    try:
        import onnxruntime
    except ImportError as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):  # which its start-up turns into this
            raise KeyboardInterrupt from None
        raise ProviderError(
            f"ONNX Runtime cannot be imported ({error}); `pip install smoothcert[cpu]`, or [gpu] with a CUDA GPU"
        ) from None
    return onnxruntime  # type: ignore[no-any-return]


def options(provider: str, tf32: bool) -> list[tuple[str, dict[str, Any]]]:
    """Providers and their options, the most wanted first: deterministic kernels, TF32 only if asked for."""
    require(provider in PROVIDERS, f"provider: expected one of {', '.join(PROVIDERS)}, got {provider!r}")
    if provider != "cpu" and not tf32:
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # the only switch that TensorRT heeds; read when CUDA starts
    cuda = {
        "use_tf32": str(int(tf32)),
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": "1",
    }
    return [(name, cuda if name.startswith("CUDA") else {}) for name in PROVIDERS[provider]]


def start(model: bytes, folder: str, provider: str, tf32: bool) -> Any:
    """A session whose first provider is the one asked for, or `ProviderError`. One thread: callers bring their own."""
    ort = runtime()
    wanted = options(provider, tf32)
    if wanted[0][0] not in ort.get_available_providers():
        raise ProviderError(
            f"provider {provider}: expected {wanted[0][0]}, but this ONNX Runtime ({installed()}) has only "
            f"{', '.join(ort.get_available_providers())}; `pip install smoothcert[gpu]` in place of [cpu], or take cpu"
        )
    if provider != "cpu" and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.use_deterministic_compute = True
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    patience = PATIENCE[wanted[0][0]]
    cancel = getattr(settings, "set_load_cancellation_flag", lambda late: None)  # older ONNX Runtimes lack it
    with _ended(patience, partial(cancel, True), "ONNX Runtime to load the model", "simplify it"):
        session = ort.InferenceSession(model, settings, providers=wanted, disabled_optimizers=_CRASHING)
    got = session.get_providers()  # of what it lists, some cannot start: then it falls back to the CPU
    if got[0] != wanted[0][0]:
        raise ProviderError(
            f"provider {provider}: {wanted[0][0]} did not start and ONNX Runtime fell back to {got[0]}; "
            "see `smoothcert doctor`, or use `providers=cpu`"
        )
    return session


def first_run(session: Any, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
    """`session.run`, ended with a `ProviderError` after its provider's PATIENCE: for a model's first runs."""
    settings, patience = runtime().RunOptions(), PATIENCE[session.get_providers()[0]]
    expected = f"an answer to a batch of shape {', '.join(str(np.shape(value)) for value in feed.values())}"
    advice = "take a smaller `batch_size`, and look for a loop without end in the model"
    with _ended(patience, partial(setattr, settings, "terminate", True), expected, advice):
        return list(session.run(list(outputs), feed, settings))


@contextmanager
def _ended(patience: float, end: Callable[[], None], expected: str, advice: str) -> Iterator[None]:
    """What runs inside is told to end after so many seconds, and what it raises then becomes a `ProviderError`."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        end()

    watch = threading.Timer(patience, stop)
    watch.daemon = True
    watch.start()
    try:
        yield
    except Exception:
        if not late.is_set():
            raise
        raise ProviderError(f"expected {expected} within {patience:g} s, got none; {advice}") from None
    finally:
        watch.cancel()


def installed() -> str:
    """The distribution and its version, `onnxruntime 1.31.1`."""
    return ", ".join(f"{name} {version}" for name, version in distributions().items()) or "of unknown origin"


def reason(error: Exception) -> str:
    """ONNX Runtime's message without its preamble."""
    return first_line(error).split("Status Message: ")[-1].strip()
