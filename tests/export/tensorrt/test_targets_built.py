"""The table of what a target computes, asked of the real builder of TensorRT-RTX, which needs no GPU for it."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from capsedge.contract import PRECISIONS, Precision
from capsedge.export.layers import layers_of
from capsedge.runtime.tensorrt.targets import takes, unable
from tests.export.tensorrt.graphs import typed

pytest.importorskip("tensorrt_rtx")

TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120")
PAIRS = [(precision, target) for precision in PRECISIONS for target in TARGETS]
TAKEN = [(precision, target) for precision, target in PAIRS if precision in takes(target, "tensorrt_rtx")]

# The builder as its documentation has it, without capsedge; says for each pair of file and target whether it built.
SCRIPT = """
import sys
import tensorrt_rtx as trt
logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
for file, target in zip(sys.argv[1::2], sys.argv[2::2]):
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    assert trt.OnnxParser(network, logger).parse_from_file(file)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("image", (1, 28, 28, 1), (1, 28, 28, 1), (4, 28, 28, 1))
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), 0)
    print(builder.build_serialized_network(network, config) is not None)
"""


def built(folder: Path, *pairs: tuple[Precision, str], product: bool = True) -> list[bool]:
    """What the builder says of each pair, in one process: only after builds that succeed does another one count."""
    arguments = []
    for precision, target in pairs:
        file = folder / f"{precision}.onnx"
        onnx.save(typed(precision, product=product), file)
        arguments += [str(file), target]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True)
    return [line == "True" for line in done.stdout.split()]


def test_every_pair_that_the_table_takes_is_built(tmp_path: Path) -> None:
    assert len(TAKEN) == 24
    assert built(tmp_path, *TAKEN) == [True] * len(TAKEN)


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair not in TAKEN], ids="-".join)
def test_a_pair_that_the_table_refuses_is_refused_by_the_builder(pair: tuple[Precision, str], tmp_path: Path) -> None:
    assert built(tmp_path, pair) == [False]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_turing_takes_convolutions_in_fp32(precision: Precision, tmp_path: Path) -> None:
    assert built(tmp_path, (precision, "sm75"), product=False) == [True]
    assert unable(layers_of(typed(precision, product=False)), "sm75", "tensorrt_rtx") == ""
