"""Models on ONNX Runtime, ours and anybody's; `test_placement.py` holds where they run."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from capsedge.errors import ModelError
from capsedge.runtime.open import open_session


def identity(file: Path, kind: int, shape: tuple[str | int, ...]) -> Path:
    """Write a model that gives back what it takes."""
    takes, gives = (helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y"))
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    model = helper.make_model(
        helper.make_graph(nodes, "identity", [takes], [gives]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(model, file)
    return file


def test_a_foreign_model_runs_on_made_up_inputs(models: Path) -> None:
    with open_session(models / "foreign.onnx") as session:
        assert session.contract is None
        feeds = session.feeds(4)
        outputs = session.run_raw(feeds)

    assert {name: (array.dtype.name, array.shape) for name, array in feeds.items()} == {
        "tokens": ("int64", (4, 1)),
        "noise": ("float16", (4, 1, 3)),
        "gate": ("bool", ()),
    }
    (expected,) = ReferenceEvaluator(onnx.load(models / "foreign.onnx")).run(None, feeds)
    np.testing.assert_allclose(outputs["answer"], np.asarray(expected), rtol=1e-6)


def test_made_up_inputs_are_the_same_every_time(good: Path) -> None:
    with open_session(good) as session:
        first, second = session.feeds(2), session.feeds(2)

    assert first.keys() == second.keys() == {"image"}
    np.testing.assert_array_equal(first["image"], second["image"])
    assert len(np.unique(first["image"])) > 200  # pixels, not zeros and ones


@pytest.mark.parametrize(
    "kind",
    [
        TensorProto.BOOL,
        TensorProto.UINT8,
        TensorProto.INT8,
        TensorProto.UINT16,
        TensorProto.INT16,
        TensorProto.UINT32,
        TensorProto.INT32,
        TensorProto.UINT64,
        TensorProto.INT64,
        TensorProto.FLOAT16,
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
    ],
    ids=TensorProto.DataType.Name,
)
def test_inputs_are_made_up_for_every_kind_of_number(tmp_path: Path, kind: int) -> None:
    with open_session(identity(tmp_path / "m.onnx", kind, ("n", 3))) as session:
        feeds = session.feeds(2)
        np.testing.assert_array_equal(session.run_raw(feeds)["y"], feeds["x"])

    assert feeds["x"].dtype == helper.tensor_dtype_to_np_dtype(kind)


def test_a_model_of_strings_says_why_it_cannot_be_timed(tmp_path: Path) -> None:
    with (
        open_session(identity(tmp_path / "m.onnx", TensorProto.STRING, ("n",))) as session,
        pytest.raises(ModelError, match=r"takes tensor\(string\) as 'x'; inputs can be made .*cannot be timed"),
    ):
        session.feeds(1)


def test_a_fixed_batch_is_the_only_one(tmp_path: Path) -> None:
    with open_session(identity(tmp_path / "m.onnx", TensorProto.FLOAT, (3, 2))) as session:
        assert session.batch_limits == (3, 3)
        assert session.feeds(3)["x"].shape == (3, 2)
        with pytest.raises(ModelError, match="takes batches of 3, 1 was given: choose --batch 3"):
            session.feeds(1)


def test_inputs_that_do_not_fit_fail_in_one_line(good: Path) -> None:
    with (
        open_session(good) as session,
        pytest.raises(ModelError, match=r"^'.*good\.onnx' failed to run: [^\n]*$"),
    ):
        session.run_raw({"image": np.zeros((1, 3, 3, 1), np.uint8)})


def test_the_number_of_threads_reaches_onnxruntime(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    asked = []
    real = onnxruntime.InferenceSession

    def opened(path: str, options: onnxruntime.SessionOptions, **rest: object) -> object:
        asked.append((options.intra_op_num_threads, options.graph_optimization_level))
        return real(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    open_session(good).close()
    open_session(good, threads=1).close()

    everything = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert asked == [(0, everything), (1, everything)]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("truncated.onnx", r"'.*truncated\.onnx' is not a whole ONNX file \(it ends \d+ bytes too early\)"),
        ("text.onnx", r"'.*text\.onnx' is not a whole ONNX file"),
        ("empty.onnx", r"'.*empty\.onnx' is not an ONNX file: it holds no graph"),
        ("newer.onnx", r"has a contract of schema 99, this capsedge reads 2: upgrade capsedge"),
        ("damaged-contract.onnx", r"'.*damaged-contract\.onnx' has a damaged contract"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_named_with_the_reason(
    models: Path, capfd: pytest.CaptureFixture[str], file: str, says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        open_session(models / file)
    assert capfd.readouterr() == ("", "")


def test_a_whole_file_that_onnxruntime_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    model = onnx.load(identity(tmp_path / "m.onnx", TensorProto.FLOAT, ("n",)))
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "m.onnx")

    with pytest.raises(ModelError, match=r"ONNX Runtime cannot load '.*m\.onnx': .*NoSuchOperator"):
        open_session(tmp_path / "m.onnx")


def test_loading_and_running_warns_of_nothing(good: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_session(good) as session:
            session.run_raw(session.feeds(1))
    assert capfd.readouterr() == ("", "")
