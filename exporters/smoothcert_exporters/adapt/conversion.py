"""Converters of ONNX that a damaged file can bring down: run in a process of their own, so that only that ends."""

from __future__ import annotations

import subprocess
import sys

import onnx

from smoothcert.errors import ModelError

_SECONDS = 300  # for graphs of many nodes, weights included
_UPGRADE = "onnx.version_converter.convert_version(proto, {version})"
_INLINE = "onnx.inliner.inline_local_functions(onnx.shape_inference.infer_shapes(proto), convert_version=True)"
_INFER = "onnx.shape_inference.infer_shapes(proto)"
_CHILD = """
import sys
sys.path[:] = {path!r}
import onnx, onnx.inliner, onnx.shape_inference, onnx.version_converter
proto = onnx.ModelProto.FromString(sys.stdin.buffer.read())
try:
    found = {call}
except Exception as error:
    lines = str(error).split(chr(10))
    sys.stderr.buffer.write(next((line for line in lines if line.strip()), type(error).__name__).encode()[:500])
    sys.exit(1)
sys.stdout.buffer.write(found.SerializeToString())
"""


def upgraded(proto: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """The model in a newer opset, metadata kept, by ONNX's converter; `ModelError` where that fails, or crashes.

    It is known to convert some operators wrongly: hold what comes of it against the model.
    """
    newer = _converted(proto, _UPGRADE.format(version=int(version)), f"be converted to opset {version}")
    del newer.metadata_props[:]
    newer.metadata_props.extend(proto.metadata_props)
    return newer


def inlined_by_conversion(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with functions of other opsets converted and written out; See `upgraded` for its errors and risks."""
    return _converted(proto, _INLINE, "have its functions of other opsets written out")


def inferred(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with types and shapes of its tensors, as far as ONNX can tell; see `upgraded` for its errors."""
    return _converted(proto, _INFER, "have the types of its tensors found")


def _converted(proto: onnx.ModelProto, call: str, what: str) -> onnx.ModelProto:
    code = _CHILD.format(path=sys.path, call=call)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code],
            input=proto.SerializeToString(),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        why = done.stderr.decode(errors="replace").strip() if done.returncode == 1 else "the converter crashed"
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"the model cannot {what} ({type(error).__name__}); export it again") from None
    if done.returncode:
        raise ModelError(f"the model cannot {what} by ONNX ({why.splitlines()[-1] if why else 'no reason given'}); "
                         "export it again with opset 18")  # fmt: skip
    found: onnx.ModelProto = onnx.ModelProto.FromString(done.stdout)
    return found
