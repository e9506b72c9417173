"""The reader of ONNX files without the onnx package, held against the onnx package itself."""

import contextlib
import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from capsedge.errors import ModelError
from capsedge.onnx_lite.file import OnnxFile, read_metadata, read_onnx_file

METADATA = {"capsedge.contract": '{"schema": 1}', "author": "Zoë", "empty": "", "long": "x" * 300}


def a_model() -> onnx.ModelProto:
    """A real graph with weights in each of the ways that ONNX stores them."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(size=(6, 4)).astype(np.float32), "dense.weight"),
        numpy_helper.from_array(rng.integers(-128, 128, (4,), np.int8), "scale"),
        helper.make_tensor("dense.bias", TensorProto.FLOAT, (4,), [0.5, -1.0, 2.0, 0.0]),  # not raw_data
        helper.make_tensor("shape", TensorProto.INT64, (2,), [-1, 4]),
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "dense.weight", "dense.bias"], ["y"], name="gemm", alpha=1.0),
            helper.make_node("Reshape", ["y", "shape"], ["z"], name="reshape"),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 6))],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ("batch", 4))],
        initializer=weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], producer_name="test")
    helper.set_model_props(model, METADATA)
    return model


CONTENT = a_model().SerializeToString()


def read(folder: Path, content: bytes) -> OnnxFile:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return read_onnx_file(path)


def read_or_refuse(folder: Path, content: bytes) -> OnnxFile | None:
    """Read the bytes, or None where they are refused; any other exception fails the test."""
    try:
        whole = read(folder, content)
    except ModelError:
        with contextlib.suppress(ModelError):  # it steps over what is damaged within the graph
            read_metadata(folder / "model.onnx")
        return None
    assert read_metadata(folder / "model.onnx") == whole.metadata
    return whole


@pytest.fixture
def whole(tmp_path: Path) -> OnnxFile:
    return read(tmp_path, CONTENT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def test_metadata_sizes_and_hashes_are_those_that_onnx_reads(whole: OnnxFile) -> None:
    theirs = onnx.load_from_string(CONTENT)
    weights = {tensor.name: tensor.SerializeToString() for tensor in theirs.graph.initializer}
    assert whole.metadata == {entry.key: entry.value for entry in theirs.metadata_props} == METADATA
    assert whole.size_bytes == len(CONTENT)
    assert whole.weights_bytes == {name: len(content) for name, content in weights.items()}
    assert whole.weights_sha256 == {name: hashlib.sha256(content).hexdigest() for name, content in weights.items()}
    del theirs.metadata_props[:]
    assert whole.graph_sha256 == hashlib.sha256(theirs.SerializeToString()).hexdigest()


NO_GRAPH = r"'.*model\.onnx' is not an ONNX file: it holds no graph"
NOT_WHOLE = r"'.*model\.onnx' is not a whole ONNX file \(.*\): export or copy it again"


@pytest.mark.parametrize("reader", [read_metadata, read_onnx_file])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", NO_GRAPH),
        (onnx.ModelProto(producer_name="nobody").SerializeToString(), NO_GRAPH),
        (CONTENT[: len(CONTENT) // 2], NOT_WHOLE),
        (CONTENT[: CONTENT.index(b"dense.bias")], r"\(it ends \d+ bytes too early\)"),
        (b"This is not a model.\n", NOT_WHOLE),
        (b"\x08\x0a", NO_GRAPH),
        (None, r"there is no model at '.*model\.onnx'"),
        ("a folder", r"'.*model\.onnx' cannot be read as a model: Is a directory"),
    ],
    ids=["empty", "no graph", "half", "within the graph", "text", "a field", "missing", "folder"],
)
def test_what_is_no_model_is_refused(
    reader: Callable[[Path], object], content: bytes | str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    with pytest.raises(ModelError, match=said):
        reader(path)


@pytest.mark.parametrize("name", ["dense.weight", "scale", "dense.bias"])
@pytest.mark.parametrize("at", [0, -1], ids=["first byte", "last byte"])
def test_a_changed_byte_of_a_weight_changes_its_hash_and_the_graphs_and_no_other(
    folder: Path, whole: OnnxFile, name: str, at: int
) -> None:
    stored = next(numpy_helper.to_array(each) for each in a_model().graph.initializer if each.name == name).tobytes()
    damaged = bytearray(stored)
    damaged[at] ^= 1
    assert CONTENT.count(stored) == 1

    changed = read(folder, CONTENT.replace(stored, bytes(damaged)))

    assert {key for key, digest in changed.weights_sha256.items() if digest != whole.weights_sha256[key]} == {name}
    assert changed.graph_sha256 != whole.graph_sha256
    assert changed.metadata == whole.metadata


def test_changed_metadata_changes_no_hash(folder: Path, whole: OnnxFile) -> None:
    model = a_model()
    helper.set_model_props(model, {"capsedge.contract": "another", "more": "x" * 10_000})

    changed = read(folder, model.SerializeToString())

    assert changed.metadata == {"capsedge.contract": "another", "more": "x" * 10_000}
    assert (changed.graph_sha256, changed.weights_sha256) == (whole.graph_sha256, whole.weights_sha256)


def test_a_renamed_node_changes_the_graphs_hash_and_no_weights(folder: Path, whole: OnnxFile) -> None:
    model = a_model()
    model.graph.node[0].name = "another"

    changed = read(folder, model.SerializeToString())

    assert changed.graph_sha256 != whole.graph_sha256
    assert changed.weights_sha256 == whole.weights_sha256


def test_a_file_cut_at_any_byte_is_refused_or_shows_another_graph_or_less_metadata(
    folder: Path, whole: OnnxFile
) -> None:
    for end in range(len(CONTENT)):
        cut = read_or_refuse(folder, CONTENT[:end])
        if cut is not None:  # the cut fell between two fields, where protobuf has no way to tell
            assert (cut.graph_sha256, cut.metadata) != (whole.graph_sha256, whole.metadata), end
            assert cut.weights_sha256 == whole.weights_sha256, end


def test_any_flipped_byte_is_refused_or_shows(folder: Path, whole: OnnxFile) -> None:
    for position in range(len(CONTENT)):
        flipped = bytearray(CONTENT)
        flipped[position] ^= random.Random(position).randrange(1, 256)
        read_back = read_or_refuse(folder, bytes(flipped))
        if read_back is not None:
            assert (read_back.graph_sha256, read_back.metadata) != (whole.graph_sha256, whole.metadata), position


@given(noise=st.binary(max_size=200))
def test_noise_is_refused_and_never_a_traceback(folder: Path, noise: bytes) -> None:
    read_or_refuse(folder, noise)


@given(noise=st.binary(min_size=1, max_size=20), data=st.data())
def test_noise_within_a_model_is_never_a_traceback(folder: Path, noise: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(CONTENT)))
    end = data.draw(st.integers(start, min(len(CONTENT), start + 30)))
    read_or_refuse(folder, CONTENT[:start] + noise + CONTENT[end:])


def test_a_file_of_empty_fields_is_refused(tmp_path: Path) -> None:
    """A megabyte of them would take a second, and more of them minutes."""
    with pytest.raises(ModelError, match="more than 1,000,000 fields"):
        read(tmp_path, b"\x0a\x00" * 1_000_001)
