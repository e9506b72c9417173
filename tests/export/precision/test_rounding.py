"""Codes that make up for each other, against the same done slowly by least squares, and against the nearest codes."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from capsedge.export.precision import rounding
from capsedge.export.precision.rounding import Codes, compensated, rounded

Values = NDArray[np.float64]
MOST = 64


def likes(count: int, inputs: int, seed: int = 0) -> Values:
    """Inputs that resemble each other, some of them louder than others."""
    random = np.random.default_rng(seed)
    common = random.standard_normal((count, 3)) @ random.standard_normal((3, inputs))
    return (common + 0.3 * random.standard_normal((count, inputs))) * random.uniform(0.2, 2, inputs)


def by_least_squares(weight: Values, x: Values, damping: float) -> Values:
    """One weight after another is rounded, and what is left is fitted anew to the results that the weights gave."""
    inputs = x.shape[1]
    rows = np.concatenate([x, np.sqrt(damping) * np.eye(inputs)])
    wanted = rows @ weight
    codes = np.zeros(inputs)
    left = list(np.argsort(-(x**2).sum(0), kind="stable"))
    done: list[int] = []
    while left:
        free, *_ = np.linalg.lstsq(rows[:, left], wanted - rows[:, done] @ codes[done], rcond=None)
        codes[left[0]] = np.clip(np.rint(free[0]), -MOST, MOST)
        done.append(left.pop(0))
    return codes


def test_codes_are_those_of_least_squares_after_each_step() -> None:
    x = likes(200, 12)
    weight = np.random.default_rng(1).uniform(-60, 60, (5, 12))
    weight[0, 3] = 64.4  # what the others add to it may not leave the range
    products = x.T @ x
    damping = 0.01 * np.diag(products).mean()
    wanted = [by_least_squares(row, x, damping) for row in weight]
    given = compensated(weight, products, MOST)
    assert np.array_equal(given, wanted)
    assert not np.array_equal(given, np.rint(weight))
    assert np.array_equal(compensated(weight, 1000 * products, MOST), given)


def test_inputs_that_have_nothing_in_common_get_the_nearest_codes_and_so_do_those_that_are_never_active() -> None:
    weight = np.random.default_rng(2).uniform(-60, 60, (4, 6))
    for products in (np.diag(np.arange(1.0, 7.0)), np.zeros((6, 6))):
        assert np.array_equal(compensated(weight, products, MOST), np.rint(weight))


def graph(node: onnx.NodeProto, weight: Values, shape: Sequence[int]) -> onnx.ModelProto:
    """One layer on what `image` becomes with a few fixed numbers for each pixel: uint8 in, as in a real graph."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "factor"], ["x"]),
        node,
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "layer",
            [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["batch", *shape])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(np.array(1 / 255, np.float32), "factor"),
                numpy_helper.from_array(weight.astype(np.float32), "w"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )


def smooth(count: int, channels: int, side: int) -> NDArray[np.uint8]:
    """Images whose neighbouring pixels and channels resemble each other: uint8 [count, channels, side, side]."""
    random = np.random.default_rng(3)
    coarse = torch.from_numpy(random.uniform(0, 255, (count, channels, 3, 3)))
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return (0.7 * fine.mean(1, keepdim=True) + 0.3 * fine).round().to(torch.uint8).numpy()


def number(codes: Codes) -> torch.Tensor:
    """A weight that codes stand for."""
    shape = [1] * codes.codes.ndim
    shape[codes.axis] = -1
    return torch.from_numpy(codes.codes * codes.scale.astype(np.float64).reshape(shape))


def nearest(weight: Values, axis: int) -> torch.Tensor:
    others = tuple(each for each in range(weight.ndim) if each != axis)
    scale = np.abs(weight).max(others, keepdims=True) / MOST
    return torch.from_numpy(np.rint(weight / scale) * scale)


@pytest.mark.parametrize(("stride", "pad", "group"), [(1, 0, 1), (2, 1, 1), (1, 1, 8), (2, 0, 4)])
def test_a_convolution_gives_what_it_gave_more_closely_than_with_the_nearest_codes(
    stride: int, pad: int, group: int
) -> None:
    weight = np.random.default_rng(4).standard_normal((16, 8 // group, 3, 3))
    images = smooth(200, 8, 9)
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[stride] * 2, pads=[pad] * 4, group=group)
    made = rounded(graph(node, weight, (8, 9, 9)), images, MOST)
    assert list(made) == ["w"]
    assert made["w"].codes.shape == weight.shape
    assert made["w"].codes.dtype == np.int8
    assert np.abs(made["w"].codes).max() <= MOST
    np.testing.assert_allclose(made["w"].scale, np.abs(weight).max((1, 2, 3)) / MOST, rtol=1e-6)

    def results(weights: torch.Tensor) -> torch.Tensor:
        x = torch.from_numpy(images / 255.0)
        return torch.nn.functional.conv2d(x, weights, stride=stride, padding=pad, groups=group)

    wanted = results(torch.from_numpy(weight))
    ours, theirs = (
        float((results(each) - wanted).square().mean()) for each in (number(made["w"]), nearest(weight, 0))
    )
    assert ours < 0.5 * theirs


@pytest.mark.parametrize("turned", [0, 1])
def test_a_product_gives_what_it_gave_more_closely_than_with_the_nearest_codes(turned: int) -> None:
    weight = np.random.default_rng(5).standard_normal((30, 10))
    x = np.clip(likes(500, 30) * 20 + 128, 0, 255).round().astype(np.uint8)
    stored = weight.T if turned else weight
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=turned)
    made = rounded(graph(node, stored, (30,)), x, MOST)["w"]
    assert (made.axis, made.codes.shape) == (0 if turned else 1, stored.shape)
    given = number(made).numpy()
    ours, theirs = (
        np.square(x / 255.0 @ (each - weight)).mean()
        for each in (given.T if turned else given, nearest(weight, 1).numpy())
    )
    assert ours < 0.1 * theirs


def test_of_a_wide_layer_whole_channels_make_up_for_each_other_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding, "_WIDEST", 12)  # three channels of 2x2
    weight = np.random.default_rng(6).standard_normal((5, 8, 2, 2))
    images = smooth(150, 8, 2)  # the kernel covers the image, so H is known
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[2, 2])
    made = rounded(graph(node, weight, (8, 2, 2)), images, MOST)["w"]
    steps = weight / made.scale.astype(np.float64)[:, None, None, None]
    for start, end in ((0, 3), (3, 6), (6, 8)):
        x = images[:, start:end].reshape(150, -1) / 255.0
        wanted = compensated(steps[:, start:end].reshape(5, -1), x.T @ x, MOST)
        assert np.array_equal(made.codes[:, start:end].reshape(5, -1), wanted)
