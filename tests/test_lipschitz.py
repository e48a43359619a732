"""Bounds of encoders against explicit Jacobians, sampled ratios, and float32 sessions beside float64."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from scipy.signal import correlate2d

from smoothcert.errors import ArgumentError, ModelError
from smoothcert.model.encoder.norms import absolute_norm, convolution_norm, convolution_work, matrix_norm
from smoothcert.model.lipschitz import encoder_bound

from .models import model, value

FLOAT = TensorProto.FLOAT
LEVELS = [
    ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
]
Constants = dict[str, NDArray[Any]]
node = helper.make_node


def encoder(nodes: list[onnx.NodeProto], constants: Constants, shape: tuple[int, ...]) -> onnx.ModelProto:
    """A graph from "image" to "code"."""
    ends = [value("image", FLOAT, ["N", *shape])], [value("code", FLOAT, ["N", None])]
    return onnx.load_from_string(model(nodes, *ends, constants))


def array(rng: np.random.Generator, *shape: int, gain: float = 1.0) -> NDArray[np.float32]:
    return (gain * rng.standard_normal(shape)).astype(np.float32)


def convolutional(rng: np.random.Generator, shape: tuple[int, ...], width: int, curve: str) -> onnx.ModelProto:
    """x + three convolutions, as surrogates are."""
    sizes = [shape[0], width, width, shape[0]]
    nodes, constants, name = [], {}, "image"
    for i, (own, out) in enumerate(pairwise(sizes)):
        constants |= {f"k{i}": array(rng, out, own, 3, 3, gain=1 / (3 * math.sqrt(own))), f"b{i}": array(rng, out)}
        nodes.append(node("Conv", [name, f"k{i}", f"b{i}"], [f"c{i}"], pads=[1, 1, 1, 1]))
        name = f"c{i}"
        if i < 2:
            nodes.append(node(curve, [name], [name := f"r{i}"]))
    nodes += [node("Add", ["image", name], ["sum"]), node("Flatten", ["sum"], ["code"])]
    return encoder(nodes, constants, shape)


def exact(proto: onnx.ModelProto, images: NDArray[Any]) -> NDArray[np.float64]:
    """The oracle: the same graph in float64, by ONNX's own reference."""
    wide = onnx.ModelProto()
    wide.CopyFrom(proto)
    for tensor in wide.graph.initializer:
        if tensor.data_type == FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(float), tensor.name))
    for end in (*wide.graph.input, *wide.graph.output):
        end.type.tensor_type.elem_type = TensorProto.DOUBLE
    for each in wide.graph.node:
        if each.op_type == "Cast":
            each.attribute[0].i = TensorProto.DOUBLE
    return np.asarray(ReferenceEvaluator(wide).run(None, {"image": images.astype(float)})[0])


def float32(proto: onnx.ModelProto, images: NDArray[Any], level: Any) -> NDArray[np.float32]:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": images})[0])


def images(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Random, near each other, and extreme."""
    x = rng.random((6, *shape))
    x[1] = np.clip(x[0] + 1e-3 * rng.standard_normal(shape), 0, 1)
    x[2], x[3], x[4] = 0, 1, x[4] > 0.5
    return x.astype(np.float32)


def require_holds(proto: onnx.ModelProto, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """No sampled pair and no session breaks the bounds."""
    bound = encoder_bound(proto, shape)
    assert bound.lipschitz is not None
    x = images(rng, shape)
    codes = exact(proto, x)
    for i, j in ((0, 1), (0, 2), (2, 3), (3, 4), (4, 5), (2, 5)):
        apart = np.linalg.norm(x[i].astype(float) - x[j])
        assert np.linalg.norm(codes[i] - codes[j]) <= bound.lipschitz * apart + 1e-12 * np.linalg.norm(codes)
    if bound.matrix is not None:
        np.testing.assert_allclose(codes - codes[2], x.reshape(len(x), -1) @ bound.matrix.T, atol=1e-9, rtol=1e-9)
        norm = np.linalg.norm(bound.matrix, 2)
        assert norm <= bound.lipschitz <= norm * (1 + 1e-6) + 1e-8  # of a matrix of zeros, what its factors round
    for level in LEVELS:
        assert np.linalg.norm(float32(proto, x, level) - codes, axis=1).max() <= bound.rounding


def dense(kernel: NDArray[Any], size: tuple[int, int], pad: int) -> NDArray[np.float64]:
    """The Jacobian of a zero-padded convolution, one unit image after the other, by SciPy's correlation."""
    columns = []
    for channel, i, j in np.ndindex(kernel.shape[1], *size):
        unit = np.zeros((size[0] + 2 * pad, size[1] + 2 * pad))
        unit[pad + i, pad + j] = 1
        columns.append(np.concatenate([correlate2d(unit, k[channel], "valid").ravel() for k in kernel.astype(float)]))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(
    ("side", "pad"),
    [(3, 1), (4, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(3, 0), (3, 2), (5, 2), (1, 0)])],
)
def test_norm_of_one_convolution_is_within_five_percent(side: int, pad: int) -> None:
    for seed, channels in enumerate([(1, 1), (2, 1), (1, 3), (2, 2)]):
        kernel = array(np.random.default_rng(seed), *channels, side, side)
        size = (20, 16)
        true = np.linalg.norm(dense(kernel, size, pad), 2)
        bound = convolution_norm(kernel.astype(float), size)
        assert true <= bound <= 1.05 * true


@pytest.mark.parametrize("shape", [(2, 3, 3, 3), (4, 4, 5, 5), (1, 1, 2, 7), (3, 2, 1, 1)])
def test_norm_on_a_thinned_torus(shape: tuple[int, ...]) -> None:
    """The oracle is a grid of 500 x 500 frequencies at least."""
    kernel = np.random.default_rng(1).standard_normal(shape)
    symbols = np.fft.fft2(kernel, (506, 506))
    true = max(np.linalg.norm(symbols[:, :, i].transpose(2, 0, 1), 2, axis=(1, 2)).max() for i in range(506))
    assert true <= convolution_norm(kernel, (500, 500)) * (1 + 1e-3)
    assert convolution_norm(kernel, (500, 500)) <= 1.03 * true


def test_norm_is_reached_by_a_constant_kernel() -> None:
    """A kernel without negative entries has its largest gain at frequency 0: the sum of its entries."""
    for size in ((3, 3), (32, 32), (1000, 1000)):
        assert 9 <= convolution_norm(np.ones((1, 1, 3, 3)), size) <= 9 * 1.02


def test_norm_of_many_channels_costs_seconds() -> None:
    kernel = np.random.default_rng(0).standard_normal((512, 512, 3, 3))
    assert convolution_work(kernel.shape, (224, 224)) < 1 << 33


@pytest.mark.parametrize("shape", [(5, 5), (3, 40), (40, 3), (1, 1)])
def test_norm_of_a_matrix(shape: tuple[int, int]) -> None:
    for gain in (1e-30, 1.0, 1e30):
        matrix = gain * np.random.default_rng(2).standard_normal(shape)
        true = np.linalg.norm(matrix, 2)
        assert true <= matrix_norm(matrix) <= true * (1 + 1e-6)
        sizes = np.linalg.norm(np.abs(matrix), 2)
        assert sizes <= absolute_norm(matrix) <= sizes * (1 + 1e-6)
    assert matrix_norm(np.zeros(shape)) == absolute_norm(np.zeros(shape)) == 0


def test_norm_of_a_matrix_with_zeros() -> None:
    blocks = np.diag([0.0, 3.0, 1e-9])
    assert 3 <= absolute_norm(blocks) <= 3.001


@pytest.mark.parametrize("curve", ["Relu", "LeakyRelu", "Tanh", "Sigmoid"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 12)])
def test_convolutional_encoders(curve: str, shape: tuple[int, ...]) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        require_holds(convolutional(rng, shape, 4, curve), shape, rng)


def test_encoder_of_the_usual_size() -> None:
    """Width 16 on 32 x 32: the bounds are of use, and NCHWc convolutions with fused sums keep to them."""
    rng = np.random.default_rng(0)
    proto, shape = convolutional(rng, (3, 32, 32), 16, "Relu"), (3, 32, 32)
    require_holds(proto, shape, rng)
    assert encoder_bound(proto, shape).rounding < 0.1
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / 4, tensor.name))
    assert encoder_bound(proto, shape).rounding < 2e-3


def test_convolutions_here_are_direct() -> None:
    """Winograd's would carry what a large value loses to sums that it is no part of: the rounding rests on this."""
    rng = np.random.default_rng(0)
    proto = convolutional(rng, (16, 16, 16), 16, "Relu")
    del proto.graph.node[1:]
    proto.graph.node.append(node("Flatten", ["c0"], ["code"]))
    x = rng.random((1, 16, 16, 16)).astype(np.float32)
    spiked = x.copy()
    spiked[0, :, 8, 8] = 1e6
    for level in LEVELS:
        plain, other = (float32(proto, batch, level).reshape(16, 16, 16) for batch in (x, spiked))
        other[:, 7:10, 7:10] = plain[:, 7:10, 7:10]
        np.testing.assert_array_equal(plain, other)


OPERATORS = st.sampled_from(
    [
        "Conv",
        "Conv",
        "Relu",
        "LeakyRelu",
        "Tanh",
        "Sigmoid",
        "Add",
        "Sub",
        "Less",
        "Mul",
        "Div",
        "Cast",
        "Twice",
        "Swap",
    ]
)


@given(st.lists(OPERATORS, max_size=6), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_graphs(names: list[str], seed: int, gemm: bool) -> None:
    rng = np.random.default_rng(seed)
    shape: tuple[int, ...] = (2, 4, 4)
    nodes: list[onnx.NodeProto] = []
    constants: Constants = {}
    last = "image"
    for i, name in enumerate(names):
        own, out = f"w{i}", f"v{i}"
        constants[own] = array(rng, 2, 1, 1, gain=float(rng.choice([0.1, 1, 10])))
        match name:
            case "Conv":
                constants[own] = array(rng, 2, 2, 3, 3)
                new = node("Conv", [last, own], [out], auto_pad="SAME_UPPER")
            case "Add" | "Mul" | "Div":
                new = node(name, [last, own], [out])
            case "Sub":
                new = node(name, [own, last], [out])
            case "Less":
                new = node("Sub", [last, "image"], [out])
            case "Twice":
                new = node("Add", [last, last], [out])
            case "Swap":
                new = node("Transpose", [last], [out], perm=[0, 1, 3, 2])
            case "Cast":
                new = node("Cast", [last], [out], to=FLOAT)
            case _:
                new = node(name, [last], [out])
        if name not in ("Conv", "Add", "Mul", "Div", "Sub"):
            del constants[own]
        nodes.append(new)
        last = out
    constants |= {"shape": np.array([0, -1]), "m": array(rng, 5, 32), "c": array(rng, 1, 5), "n": array(rng, 5, 3)}
    nodes.append(node("Reshape", [last, "shape"], ["flat" if gemm else "code"]))
    if gemm:
        nodes += [node("Gemm", ["flat", "m", "c"], ["g"], transB=1, alpha=0.5), node("MatMul", ["g", "n"], ["code"])]
    require_holds(encoder(nodes, constants, shape), shape, rng)


def one(new: onnx.NodeProto, constants: Constants | None = None) -> onnx.ModelProto:
    """An encoder of one operator over (batch, 1, 4, 4), and a Flatten."""
    return encoder([new, node("Flatten", ["v"], ["code"])], constants or {}, (1, 4, 4))


KERNEL = np.ones((1, 1, 3, 3), np.float32)
UNKNOWN = {
    "Softmax": one(node("Softmax", ["image"], ["v"])),
    "product of values": one(node("Mul", ["image", "image"], ["v"])),
    "stride": one(node("Conv", ["image", "k"], ["v"], strides=[2, 2]), {"k": KERNEL}),
    "groups": one(node("Conv", ["image", "k"], ["v"], group=2), {"k": KERNEL}),
    "dilation": one(node("Conv", ["image", "k"], ["v"], dilations=[2, 2]), {"k": KERNEL}),
    "negative pads": one(node("Conv", ["image", "k"], ["v"], pads=[-1, 0, 0, 0]), {"k": KERNEL}),
    "huge pads": one(node("Conv", ["image", "k"], ["v"], pads=[2**60, 0, 0, 0]), {"k": KERNEL}),
    "float16": one(node("Cast", ["image"], ["v"], to=TensorProto.FLOAT16)),
    "batch": one(node("Transpose", ["image"], ["v"], perm=[1, 0, 2, 3])),
    "widening": one(node("Add", ["image", "k"], ["v"]), {"k": np.ones((1, 3, 4, 4), np.float32)}),
    "rows of their own": one(node("Add", ["image", "k"], ["v"]), {"k": np.ones((3, 1, 4, 4), np.float32)}),
    "another domain": one(node("Relu", ["image"], ["v"], domain="com.example")),
    "an attribute": one(node("Relu", ["image"], ["v"], alpha=3)),
    "overflow": one(node("Mul", ["image", "k"], ["v"]), {"k": np.float32(1e38)}),
}


@pytest.mark.parametrize("proto", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_has_no_bound(proto: onnx.ModelProto) -> None:
    bound = encoder_bound(proto, (1, 4, 4))
    assert (bound.lipschitz, bound.rounding, bound.matrix) == (None, math.inf, None)


def external() -> onnx.ModelProto:
    proto = one(node("Conv", ["image", "k"], ["v"]), {"k": KERNEL})
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return proto


def declared(*dims: int) -> onnx.ModelProto:
    """A kernel of other dimensions than its numbers."""
    proto = one(node("Conv", ["image", "k"], ["v"]), {"k": KERNEL})
    del proto.graph.initializer[0].dims[:]
    proto.graph.initializer[0].dims.extend(dims)
    return proto


DAMAGED = {
    "missing": one(node("Conv", ["image", "k"], ["v"])),
    "cycle": one(node("Add", ["code", "image"], ["v"])),
    "two meanings": one(node("Relu", ["image"], ["image"])),
    "no inputs": one(node("Conv", [], ["v"])),
    "external": external(),
    "cut off": declared(1, 1, 3, 5),
    "negative": declared(1, 1, 3, -3),
    "NaN": one(node("Mul", ["image", "k"], ["v"]), {"k": np.float32(np.nan)}),
    "divisor": one(node("Div", ["image", "k"], ["v"]), {"k": np.float32(0)}),
    "channels": one(node("Conv", ["image", "k"], ["v"]), {"k": np.ones((1, 2, 3, 3), np.float32)}),
    "no codes": encoder([node("Relu", ["image"], ["code"])], {}, (1, 4, 4)),
    "another image": encoder([node("Flatten", ["image"], ["code"])], {}, (3, 4, 4)),
    "empty": onnx.ModelProto(opset_import=[helper.make_opsetid("", 18)]),
}


@pytest.mark.parametrize("proto", DAMAGED.values(), ids=DAMAGED)
def test_damaged_graphs_are_refused(proto: onnx.ModelProto) -> None:
    with pytest.raises(ModelError, match=r"encoder's graph"):
        encoder_bound(proto, (1, 4, 4))


def test_weights_that_are_only_declared_are_not_made() -> None:
    assert encoder_bound(declared(2**40, 2**20, 3, 3), (1, 4, 4)).lipschitz is None


def test_image_shape() -> None:
    with pytest.raises(ArgumentError, match="image_shape"):
        encoder_bound(one(node("Relu", ["image"], ["v"])), (4, 4))
