"""Models on ONNX Runtime, ours and anybody's; `test_placement.py` holds where they run."""

import warnings
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from capsedge.contract import contract_of
from capsedge.errors import ModelError
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.open import open_session
from capsedge.runtime.ort import threads as threads_module
from capsedge.runtime.session import SessionWarning
from capsedge.runtime.settings import Settings
from tests.runtime.capsule_model import save_with


def identity(file: Path, kind: int, shape: tuple[str | int | None, ...]) -> Path:
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
        assert session.load_ms is not None
        assert 0 < session.load_ms < 60_000
        first, second = session.feeds(2), session.feeds(2)

    assert first.keys() == second.keys() == {"image"}
    np.testing.assert_array_equal(first["image"], second["image"])
    assert len(np.unique(first["image"])) > 200  # pixels, not zeros and ones


@pytest.mark.parametrize(
    "name",
    ["BOOL", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64", "FLOAT16", "FLOAT", "DOUBLE"],
)
def test_inputs_are_made_up_for_every_kind_of_number(tmp_path: Path, name: str) -> None:
    kind = TensorProto.DataType.Value(name)
    with open_session(identity(tmp_path / "m.onnx", kind, ("n", 3))) as session:
        feeds = session.feeds(2)
        np.testing.assert_array_equal(session.run_raw(feeds)["y"], feeds["x"])

    assert feeds["x"].dtype == helper.tensor_dtype_to_np_dtype(kind)


@pytest.mark.parametrize(
    ("kind", "shape", "why"),
    [
        (TensorProto.STRING, ("n",), r"takes tensor\(string\) as 'x'; inputs can be made .*cannot be timed"),
        (TensorProto.FLOAT, (0, 4), r"takes \[0, 4\] as 'x', which holds nothing: it cannot be timed"),
    ],
)
def test_inputs_that_cannot_be_made_up_are_told(
    kind: int, shape: tuple[str | int | None, ...], why: str, tmp_path: Path
) -> None:
    with open_session(identity(tmp_path / "m.onnx", kind, shape)) as session, pytest.raises(ModelError, match=why):
        session.feeds(1)


@pytest.mark.parametrize(("shape", "only", "other"), [((3, 2), 3, 1), ((), 1, 8)])
def test_a_fixed_batch_is_the_only_one_and_a_scalar_holds_one(
    shape: tuple[int, ...], only: int, other: int, tmp_path: Path
) -> None:
    """A scalar in a larger batch would count once for each image."""
    with open_session(identity(tmp_path / "m.onnx", TensorProto.FLOAT, shape)) as session:
        assert session.batch_limits == (only, only)
        assert session.feeds(only)["x"].shape == shape
        with pytest.raises(ModelError, match=f"expected a batch of {only}, got {other}: use --batch {only}"):
            session.feeds(other)


def test_a_fixed_first_axis_that_may_be_no_batch_is_warned_of(tmp_path: Path) -> None:
    with open_session(identity(tmp_path / "m.onnx", TensorProto.FLOAT, (4, "N"))) as session:
        assert list(session.warnings) == [
            SessionWarning("assumed-size", "of its input 'x', N can be any size, taken as 1"),
            SessionWarning(
                "assumed-batch",
                "the fixed first axis of its inputs, 4, was taken as the batch; if it is not, images/s is too high",
            ),
        ]
        with pytest.raises(ModelError, match=r"use --batch 4, the first axis of its inputs, if that is its batch"):
            session.feeds(1)


def test_free_axes_that_are_made_1_are_told(tmp_path: Path) -> None:
    shapes: list[tuple[str | int | None, ...]] = [("n", 3, "height", None), ("n", 3, 32, 32), (1, 5)]
    said = []
    for shape in shapes:
        with open_session(identity(tmp_path / "m.onnx", TensorProto.FLOAT, shape)) as session:
            said.append([warning.text for warning in session.warnings])

    assert said == [["of its input 'x', height and axis 3 can be any size, taken as 1"], [], []]


def test_a_model_of_ours_assumes_nothing(models: Path) -> None:
    for name in ("good.onnx", "batch-of-2.onnx"):
        with open_session(models / name) as session:
            assert session.warnings == ()


def test_a_run_that_fails_gives_its_reason_without_the_places_of_onnxruntime_s_source(tmp_path: Path) -> None:
    model = onnx.load(identity(tmp_path / "m.onnx", TensorProto.FLOAT, ("n", 6)))
    model.graph.node[0].CopyFrom(helper.make_node("Reshape", ["x", "shape"], ["y"], name="narrow"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 4]), "shape"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
    onnx.save(model, tmp_path / "m.onnx")

    with (
        open_session(tmp_path / "m.onnx") as session,
        pytest.raises(ModelError, match=r"' failed to run: Reshape 'narrow': The input tensor cannot be reshaped"),
    ):
        session.run_raw(session.feeds(1))


@pytest.mark.parametrize("kind", ["bf16", "fp8"])
def test_a_file_for_tensorrt_says_so_where_onnxruntime_refuses_it(good: Path, tmp_path: Path, kind: str) -> None:
    contract = contract_of(read_onnx_file(good), source="good.onnx")
    assert contract is not None
    layers = tuple(msgspec.structs.replace(layer, type=kind) for layer in contract.layers)
    model = onnx.load(good)
    model.graph.node[0].op_type = "NoSuchOperator"  # as a type without a kernel, it ends the loading
    save_with(model, msgspec.structs.replace(contract, layers=layers), tmp_path / "m.onnx")

    with pytest.raises(ModelError, match=rf"m\.onnx' computes in {kind}, .*capsedge export RUN --trt.* fp32"):
        open_session(tmp_path / "m.onnx")


def test_threads_spinning_and_graph_level_reach_onnxruntime(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    asked = []
    real = onnxruntime.InferenceSession

    def opened(path: str, options: onnxruntime.SessionOptions, **rest: object) -> object:
        spinning = options.get_session_config_entry("session.intra_op.allow_spinning")
        asked.append((options.intra_op_num_threads, options.graph_optimization_level, spinning))
        return real(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    open_session(good, Settings(threads=2)).close()
    open_session(good, Settings(threads=1, spinning=False, graph="basic")).close()

    levels = onnxruntime.GraphOptimizationLevel
    assert asked == [(2, levels.ORT_ENABLE_ALL, "1"), (1, levels.ORT_ENABLE_BASIC, "0")]


@pytest.mark.parametrize(
    ("flops", "settings", "threads"),
    [
        (28_800_000, Settings(), 3),  # sqrt(28.8 / 4)
        (28_800_000, Settings(batch=8), 8),  # all that there are
        (28_800_000, Settings(spinning=False), 1),  # sqrt(28.8 / 40)
        (28_800_000, Settings(threads=5), 5),
        (0, Settings(), 0),  # nothing is known: ONNX Runtime's choice
    ],
)
def test_the_threads_are_chosen_by_the_work_of_a_run_and_told(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flops: int, settings: Settings, threads: int
) -> None:
    contract = contract_of(read_onnx_file(good), source="good.onnx")
    assert contract is not None
    layers = tuple(msgspec.structs.replace(layer, flops=flops) for layer in contract.layers)
    save_with(onnx.load(good), msgspec.structs.replace(contract, layers=layers), tmp_path / "work.onnx")
    monkeypatch.setattr(threads_module, "usable_cores", lambda: 8)

    with open_session(tmp_path / "work.onnx", settings) as session:
        assert session.settings == msgspec.structs.replace(settings, threads=threads, io_binding=False)
        assert session._ort.get_session_options().intra_op_num_threads == threads  # type: ignore[attr-defined]


def test_a_foreign_model_leaves_the_threads_to_onnxruntime(models: Path) -> None:
    with open_session(models / "foreign.onnx") as session:
        assert session.settings.threads == 0


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("truncated.onnx", r"'.*truncated\.onnx' is not a whole ONNX file \(it ends \d+ bytes too early\)"),
        ("text.onnx", r"'.*text\.onnx' is not a whole ONNX file"),
        ("empty.onnx", r"'.*empty\.onnx' is not an ONNX file: it holds no graph"),
        ("newer.onnx", r"has a contract of schema 99, this capsedge reads 3: upgrade capsedge"),
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


@pytest.mark.parametrize("bound", [False, True])
def test_a_closed_session_says_so(good: Path, *, bound: bool) -> None:
    with open_session(good, Settings(io_binding=bound)) as session:
        feeds = session.feeds(1)
    uses: list[Callable[[], object]] = [
        lambda: session.feeds(1),
        lambda: session.run_raw(feeds),
        lambda: session.run_with_breakdown(feeds),
    ]
    for use in uses:
        with pytest.raises(ModelError, match=r"^'.*' was closed: open it again$"):
            use()
