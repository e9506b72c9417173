"""TensorRT engines, without a GPU: on stand-ins with the recorded names of five releases, and on the real libraries.

Nothing here proves that an engine runs on hardware; the guide to checking that on a GPU is capsedge verify.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from capsedge.contract import Contract, EngineManifest, contract_of, encode
from capsedge.errors import MissingExtra, ModelError, ProviderError
from capsedge.onnx_file import read_onnx_file
from capsedge.runtime.engine import manifest_path
from capsedge.runtime.open import open_session
from capsedge.runtime.verify import verify
from tests.runtime.capsule_model import evaluate, images
from tests.runtime.fake_tensorrt import RELEASES, HostCuda, tensorrt

RTX = next(release for release in RELEASES if release.startswith("tensorrt_rtx"))

Build = Callable[..., Path]


@pytest.fixture
def contract(good: Path) -> Contract:
    read = contract_of(read_onnx_file(good), source=str(good))
    assert read is not None
    return read


@pytest.fixture
def build(tmp_path: Path, contract: Contract) -> Build:
    """Write an engine file and its manifest, as export does."""

    def write(release: str = RTX, **changes: Any) -> Path:
        file = tmp_path / "model.engine"
        file.write_bytes(b"a serialized engine")
        package, version = release.split("-")
        fields: dict[str, Any] = {
            "engine_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "package": package,
            "package_version": version,
            "targets": ("sm86",),
            "batch": (1, 1, 16),
            "build_seconds": 1.0,
            "size_bytes": file.stat().st_size,
            "precision": {},
            "contract": contract,
        }
        manifest_path(file).write_text(encode(EngineManifest(**fields | changes)))
        return file

    return write


@pytest.fixture
def install(good: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., HostCuda]:
    """Put stand-ins for CUDA and for one release of TensorRT in the place of the real ones."""

    def put(release: str = RTX, *, devices: int = 1, fail: str = "", **tensorrt_options: bool) -> HostCuda:
        cuda = HostCuda(devices, fail)
        for parent in ("cuda", "cuda.bindings"):
            monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
        package = tensorrt(release, good, cuda, **tensorrt_options)
        monkeypatch.setitem(sys.modules, package.__name__, package)
        return cuda

    return put


@pytest.mark.parametrize("release", RELEASES)
def test_an_engine_runs_with_the_names_of_every_release(
    release: str, good: Path, build: Build, install: Callable[..., HostCuda]
) -> None:
    cuda = install(release)
    lengths, poses = evaluate(good, images(3, seed=5))

    with open_session(build(release)) as session:
        outputs = session.run(images(3, seed=5))
        assert session.provider == f"{release.replace('-', ' ')} on Stand-in"
        assert session.batch_limits == (1, 16)

    np.testing.assert_array_equal(outputs.lengths, lengths)
    np.testing.assert_array_equal(outputs.poses, poses)
    assert cuda.memory == {}


def test_the_input_is_copied_before_the_run_and_the_outputs_after_it(
    build: Build, install: Callable[..., HostCuda]
) -> None:
    cuda = install()
    with open_session(build()) as session:
        cuda.calls.clear()
        session.run(images(1))

    run = cuda.calls[: cuda.calls.index("cudaStreamSynchronize") + 1]
    assert run == ["cudaMemcpyAsync 1", "execute", "cudaMemcpyAsync 2", "cudaMemcpyAsync 2", "cudaStreamSynchronize"]


def test_the_golden_sample_of_an_engine_is_replayed(build: Build, install: Callable[..., HostCuda]) -> None:
    install()
    with open_session(build()) as session:
        found = verify(session)

    assert found.ok
    assert found.images == 5


def test_closing_twice_frees_once(build: Build, install: Callable[..., HostCuda]) -> None:
    cuda = install()
    session = open_session(build())
    session.close()
    session.close()

    assert cuda.calls.count("cudaFree") == 3
    assert cuda.calls.count("cudaStreamDestroy") == 1


def test_made_up_inputs_have_the_engines_shape(build: Build, install: Callable[..., HostCuda]) -> None:
    install()
    with open_session(build()) as session:
        feeds = session.feeds(4)
        outputs = session.run_raw(feeds)

    assert {name: (a.dtype.name, a.shape) for name, a in feeds.items()} == {"image": ("uint8", (4, 28, 28, 1))}
    assert outputs["poses"].shape == (4, 10, 16)


def test_a_batch_beyond_the_profile_is_refused(build: Build, install: Callable[..., HostCuda]) -> None:
    install()
    with open_session(build()) as session, pytest.raises(ModelError, match="takes batches of 1 to 16, 17 was given"):
        session.run(images(17))


def test_other_inputs_than_the_engines_are_refused_before_they_reach_the_gpu(
    build: Build, install: Callable[..., HostCuda]
) -> None:
    cuda = install()
    with open_session(build()) as session:
        cuda.calls.clear()
        with pytest.raises(ModelError, match=r"takes 'image' as uint8 \[16, 28, 28, 1\], was given 'x' as float32"):
            session.run_raw({"x": np.zeros((1, 28, 28, 1), np.float32)})
        assert cuda.calls == []


def test_a_run_that_tensorrt_refuses_is_an_error(build: Build, install: Callable[..., HostCuda]) -> None:
    install()
    with open_session(build()) as session, pytest.raises(ModelError, match="failed to run: TensorRT says nothing"):
        session.run(images(13))


def test_an_engine_without_its_manifest_says_which_file_to_copy(build: Build) -> None:
    file = build()
    manifest_path(file).unlink()

    with pytest.raises(ModelError, match=r"needs its manifest 'model\.engine\.json' beside it, .* copy both files"):
        open_session(file)


def test_an_altered_engine_is_refused(build: Build) -> None:
    file = build()
    file.write_bytes(b"a serialised engine")

    with pytest.raises(ModelError, match=r"is not the engine that its manifest describes .* copy both files again"):
        open_session(file)


def test_an_engine_of_another_release_says_what_to_rebuild(build: Build, install: Callable[..., HostCuda]) -> None:
    install()
    file = build(package_version="1.6.0")

    with pytest.raises(
        ModelError,
        match=r"was built by tensorrt_rtx 1\.6\.0 and loads in no other release, here is 1\.7\.1\.116: build it "
        r"again with capsedge export --trt, or pip install 'tensorrt_rtx==1\.6\.0'",
    ):
        open_session(file)


@pytest.mark.parametrize(
    ("release", "way_out"),
    [(RTX, r"pip install 'tensorrt_rtx==1\.7\.1\.116'"), ("tensorrt-10.3.0", r"install TensorRT 10\.3\.0")],
)
def test_a_missing_tensorrt_is_named_with_its_release(
    release: str, way_out: str, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, release.split("-", maxsplit=1)[0], None)

    with pytest.raises(ProviderError, match=rf"needs {release.replace('-', ' ')}, which does not load .*: {way_out}"):
        open_session(build(release))


def test_a_missing_cuda_python_names_the_extra(
    build: Build, install: Callable[..., HostCuda], monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)

    with pytest.raises(MissingExtra, match=r"pip install 'capsedge\[trt\]'"):
        open_session(build())


@pytest.mark.parametrize(
    ("options", "said"), [({"devices": 0}, "no device"), ({"fail": "cudaGetDeviceCount"}, "cudaError2")]
)
def test_no_gpu_is_an_error_in_one_line(
    options: dict[str, Any], said: str, build: Build, install: Callable[..., HostCuda]
) -> None:
    install(**options)

    with pytest.raises(ProviderError, match=f"an NVIDIA GPU with its driver is needed, and CUDA says '{said}'"):
        open_session(build())


def test_an_engine_for_another_gpu_says_for_which(build: Build, install: Callable[..., HostCuda]) -> None:
    install(loads=False)

    with pytest.raises(
        ModelError,
        match=r"was built for sm86 and does not load on Stand-in \(sm87\): build it again for this GPU with capsedge "
        r"export --trt \(TensorRT says: Serialization assertion failed\.\)",
    ):
        open_session(build())


def test_a_full_gpu_is_an_error_in_one_line(build: Build, install: Callable[..., HostCuda]) -> None:
    install(has_memory=False)

    with pytest.raises(ProviderError, match="the GPU has no memory left to run it: free some and try again"):
        open_session(build())


def test_what_was_allocated_is_freed_when_loading_fails(build: Build, install: Callable[..., HostCuda]) -> None:
    cuda = install(fail="cudaMalloc")

    with pytest.raises(ProviderError, match="CUDA failed with cudaError2"):
        open_session(build())
    assert cuda.calls[-1] == "cudaStreamDestroy"


def test_the_real_cuda_runtime_takes_what_the_engine_gives_it() -> None:
    """Without a GPU every call answers with a status, so a wrong name or argument would show as an exception."""
    cuda = pytest.importorskip("cuda.bindings.runtime")
    kind = cuda.cudaMemcpyKind
    host = np.zeros(4, np.uint8)
    stream = cuda.cudaStreamCreate()[1] or cuda.cudaStream_t(0)

    answers = [
        cuda.cudaMemcpyAsync(0, host.ctypes.data, 0, kind.cudaMemcpyHostToDevice, stream),
        cuda.cudaMemcpyAsync(host.ctypes.data, 0, 0, kind.cudaMemcpyDeviceToHost, stream),
        cuda.cudaStreamSynchronize(stream),
        cuda.cudaFree(0),
        cuda.cudaGetDeviceCount(),
        cuda.cudaMalloc(0),
    ]

    assert all(isinstance(answer[0].name, str) and int(answer[0]) >= 0 for answer in answers)
    assert isinstance(int(stream), int)
    assert {"name", "major", "minor"} <= set(dir(cuda.cudaDeviceProp))
    stand_ins = {name for name in vars(HostCuda) if name.startswith("cuda")}
    assert stand_ins <= set(dir(cuda))


def test_the_real_tensorrt_gives_its_reason_to_our_logger(
    build: Build, install: Callable[..., HostCuda], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The real library as far as it goes without a GPU: the bytes are no engine, and it says so."""
    real = pytest.importorskip("tensorrt_rtx")
    install()
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", real)

    with pytest.raises(ModelError, match=r"does not load on Stand-in .*TensorRT says: .+"):
        open_session(build(package_version=real.__version__))
    assert capfd.readouterr() == ("", "")


def test_the_real_tensorrt_maps_its_types_and_severities_as_the_engine_expects() -> None:
    real = pytest.importorskip("tensorrt_rtx")

    assert issubclass(real.Logger, real.ILogger)
    assert real.nptype(real.DataType.UINT8) is np.uint8
    assert real.nptype(real.DataType.FLOAT) is np.float32
    assert real.ILogger.ERROR <= real.ILogger.WARNING
