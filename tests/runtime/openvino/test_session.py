"""OpenVINO as a runtime: the same lengths as ONNX Runtime, in types that the compiled model tells."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.data import load_dataset
from capsedge.errors import MissingExtra, ModelError, WrongUse
from capsedge.measure.bench.sweep import parse_axes, variants
from capsedge.measure.profile.measure import profile_model
from capsedge.runtime.open import open_session
from capsedge.runtime.settings import Settings
from capsedge.runtime.verify import verify
from tests.cli.conftest import COMMAND
from tests.in_process import Capsedge, in_this_process

ROOT = Path(__file__).parents[3]
ZOO = ROOT / "zoo"
BUILTIN = ROOT / "capsedge" / "builtin" / "fashion-mnist.onnx"
OPENVINO = Settings(provider="openvino", threads=1)

capsedge = pytest.fixture(in_this_process)

needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="OpenVINO is not installed: make setup installs it"
)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return load_dataset("fashion-mnist-subset").test.images[:200]


@needs_openvino
@pytest.mark.parametrize("name", ["edge-nano", "edge-small", "edge-base"])
def test_fp32_files_give_the_lengths_and_poses_of_onnx_runtime(name: str, images: NDArray[np.uint8]) -> None:
    """To 1e-5, where 1e-4 is the gate's limit: another order of the same fp32 sums."""
    file = ZOO / name / "model.onnx"
    with open_session(file) as expected, open_session(file, OPENVINO) as session:
        wanted, given = expected.run(images), session.run(images)

        assert session.provider == "OpenVINO CPU (f32)"
    np.testing.assert_allclose(given.lengths, wanted.lengths, atol=1e-5)
    np.testing.assert_allclose(given.poses, wanted.poses, atol=1e-5)


@needs_openvino
@pytest.mark.parametrize("file", [BUILTIN, ZOO / "edge-nano" / "model.int8.onnx"], ids=["built-in", "edge-nano"])
def test_int8_files_run_in_int8_and_differ_by_steps_of_rounding(file: Path, images: NDArray[np.uint8]) -> None:
    """Within the gate's limits for int8; a step of rounding moves single lengths by more than fp32 does."""
    with open_session(file) as expected, open_session(file, OPENVINO) as session:
        wanted, given = expected.run(images), session.run(images)

        assert "i8" in session.provider
        assert verify(session).ok
    difference = np.abs(given.lengths - wanted.lengths)
    assert difference.max() < 0.5
    assert difference.mean() < 0.02
    assert (given.lengths.argmax(1) == wanted.lengths.argmax(1)).mean() > 0.98


@needs_openvino
def test_any_batch_gives_the_same_answer(images: NDArray[np.uint8]) -> None:
    with open_session(ZOO / "edge-nano" / "model.onnx", OPENVINO) as session:
        whole = session.run(images[:7]).lengths
        single = np.concatenate([session.run(images[index : index + 1]).lengths for index in range(7)])
        many = session.feeds(5)

    np.testing.assert_allclose(single, whole, atol=1e-6)
    assert [array.shape for array in many.values()] == [(5, 28, 28, 1)]


@needs_openvino
def test_threads_share_a_session_and_get_their_own_answers(images: NDArray[np.uint8]) -> None:
    """Of queries that overlap: one request of OpenVINO would refuse the second."""
    parts = [np.roll(images, index, axis=0) for index in range(4)]
    with open_session(ZOO / "edge-nano" / "model.onnx", OPENVINO) as session, ThreadPoolExecutor(len(parts)) as pool:
        wanted = [session.run(part).lengths for part in parts]
        found = [*pool.map(lambda part: [session.run(part).lengths for _ in range(20)], parts)]

    for given, expected in zip(found, wanted, strict=True):
        for lengths in given:
            np.testing.assert_allclose(lengths, expected, atol=1e-6)


@needs_openvino
def test_outputs_stay_as_they_are_when_the_session_runs_again(images: NDArray[np.uint8]) -> None:
    with open_session(ZOO / "edge-nano" / "model.onnx", OPENVINO) as session:
        first = session.run_raw({"image": images[:1]})["lengths"]
        kept = first.copy()
        session.run_raw({"image": images[1:2]})

    np.testing.assert_array_equal(first, kept)


@needs_openvino
def test_wrong_inputs_are_one_line(models: Path) -> None:
    with open_session(ZOO / "edge-nano" / "model.onnx", OPENVINO) as session:
        wanted = r"' failed to run: expected uint8 \[any, 28, 28, 1\] as 'image', got "
        with pytest.raises(ModelError, match=rf"{wanted}float32 \[1, 28, 28, 1\]$"):
            session.run_raw({"image": np.zeros((1, 28, 28, 1), np.float32)})
        for shape in ((1, 27, 28, 1), (28, 28, 1)):  # OpenVINO 2026.4.1 gives lengths of the first
            with pytest.raises(ModelError, match=f"{wanted}uint8 "):
                session.run_raw({"image": np.zeros(shape, np.uint8)})
        with pytest.raises(ModelError, match="it takes 'image', which was not given"):
            session.run_raw({})
    with pytest.raises(ModelError, match="was closed: open it again"):
        session.feeds(1)


@needs_openvino
def test_files_without_a_contract_run_and_damaged_ones_are_told(models: Path, tmp_path: Path) -> None:
    with open_session(models / "foreign.onnx", OPENVINO) as session, open_session(models / "foreign.onnx") as other:
        feeds = session.feeds(1)
        assert session.axes() == other.axes()
        assert [warning.code for warning in session.warnings] == [warning.code for warning in other.warnings]
        for name, array in other.run_raw(feeds).items():
            np.testing.assert_allclose(session.run_raw(feeds)[name], array, rtol=1e-5)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes((ZOO / "edge-nano" / "model.onnx").read_bytes()[:5000])
    with pytest.raises(ModelError) as told:
        open_session(damaged, OPENVINO)
    assert "\n" not in str(told.value)


@needs_openvino
def test_what_openvino_cannot_do_is_refused() -> None:
    with pytest.raises(WrongUse, match="a sweep over 'graph' has no effect on OpenVINO"):
        variants([str(BUILTIN)], OPENVINO, parse_axes(["graph=all,none"]))
    with pytest.raises(WrongUse, match="not from openvino: leave out --provider"):
        profile_model(BUILTIN, OPENVINO)


@pytest.mark.parametrize(
    "option", ["--graph=basic", "--io-binding", "--no-spinning", "--no-cuda-graph", "--allow-fallback"]
)
def test_an_option_of_another_runtime_is_refused(option: str, capsedge: Capsedge) -> None:
    done = capsedge("bench", str(BUILTIN), "--provider", "openvino", option, "--quick")

    name = option.partition("=")[0]
    assert done.returncode == 2
    assert done.stderr.endswith(
        f"capsedge: {name}: expected options that OpenVINO has, got those of other runtimes: leave them out\n"
    )


@needs_openvino
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("infer samples/coat-888.png --model", "provider: OpenVINO CPU (f32+i8)\n"),
        ("bench --quick --iterations 11", ", on OpenVINO CPU (f32+i8)\n"),
    ],
)
def test_what_is_run_by_openvino_says_so(words: str, told: str, capsedge: Capsedge) -> None:
    first, *more = words.split()
    more = [str(ROOT / word) if word.startswith("samples/") else word for word in more]

    assert told in capsedge(first, *more, str(BUILTIN), "--provider", "openvino").stderr
    assert "provider: " not in capsedge(first, *more, str(BUILTIN)).stderr


def test_exact_kernels_which_only_python_can_ask_for_are_refused() -> None:
    with pytest.raises(WrongUse, match="exact_int8: expected options that OpenVINO has"):
        open_session(BUILTIN, msgspec.structs.replace(OPENVINO, exact_int8=True))


def test_without_openvino_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        MissingExtra, match=r"needs the Python package 'openvino'.*pip install 'capsedge\[openvino\]'"
    ):
        open_session(BUILTIN, OPENVINO)


# Runs the command with OpenVINO, and lists the sockets that it opened.
WATCHED = """
import sys
opened = []
sys.addaudithook(lambda event, _: opened.append(event) if event.startswith("socket.") else None)
try:
    exec(sys.argv.pop(1))
finally:
    print(*opened, "telemetry:", *[name for name in sys.modules if "openvino_telemetry" in name], file=sys.stderr)
"""


@needs_openvino
def test_openvino_writes_nothing_into_the_home_folder_and_opens_no_socket(tmp_path: Path) -> None:
    picture = ROOT / "samples" / "ankle-boot-1045.png"
    telling = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, COMMAND.partition("; ")[2], "infer", str(picture), "--provider", "openvino"],
        capture_output=True,
        text=True,
        check=False,
        env=telling | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )

    assert done.returncode == 0, done.stderr
    assert "ankle-boot" in done.stdout
    assert done.stderr.splitlines()[-1] == "telemetry:"
    assert [*tmp_path.rglob("*")] == []
