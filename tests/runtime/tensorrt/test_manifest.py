"""Whether an engine can run here, asked before it is loaded; on stand-ins for CUDA and five releases of TensorRT."""

import sys
from typing import Any

import pytest

from capsedge.errors import MissingExtra, ModelError, ProviderError
from capsedge.runtime.open import open_session
from capsedge.runtime.tensorrt.manifest import cannot_run_here, manifest_path
from tests.runtime.engines import DEFERRED, RTX, Build, Install, build, contract, install

__all__ = ["build", "contract", "install"]


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


def test_an_engine_of_another_release_says_what_to_rebuild(build: Build, install: Install) -> None:
    install()
    file = build(package_version="1.6.0")

    with pytest.raises(
        ModelError,
        match=r"was built by tensorrt_rtx 1\.6\.0 and loads only in that release; 1\.7\.1\.116 is installed: "
        r"pip install 'tensorrt_rtx==1\.6\.0', or build it again with: capsedge export 'runs/small capsules' --trt "
        r"--precision fp32 --trt-target sm87 --trt-batch 1,1,16$",
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
    build: Build, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)

    with pytest.raises(MissingExtra, match=r"pip install 'capsedge\[trt\]'"):
        open_session(build())


@pytest.mark.parametrize(
    ("options", "said"), [({"devices": 0}, "no device"), ({"fail": "cudaGetDeviceCount"}, "cudaError2")]
)
def test_no_gpu_is_an_error_in_one_line(options: dict[str, Any], said: str, build: Build, install: Install) -> None:
    install(**options)

    with pytest.raises(ProviderError, match=f"an NVIDIA GPU with its driver is needed, and CUDA says '{said}'"):
        open_session(build())


@pytest.mark.parametrize(
    ("release", "fields", "reason"),
    [
        (
            RTX,
            {"targets": ("sm86",)},
            r"it was built for sm86, and Stand-in is sm87: build it again .* --trt-target sm86,sm87",
        ),
        (
            "tensorrt-11.4.0",
            {"targets": ("sm86",), "gpu": "A10"},
            r"it was built on A10 \(sm86\) and runs only on GPUs of that kind",
        ),
        ("tensorrt-10.3.0", {"platform": "Linux sparc64"}, r"it was built on Linux sparc64 and runs only there"),
    ],
)
def test_an_engine_for_another_machine_is_refused_before_it_is_loaded(
    release: str, fields: dict[str, Any], reason: str, build: Build, install: Install
) -> None:
    cuda = install(release)

    with pytest.raises(ModelError, match=rf"model\.engine' does not run here: {reason}.* --trt-batch 1,1,16$"):
        open_session(build(release, **fields))
    assert set(cuda.calls) == {"cudaGetDeviceCount", "cudaGetDeviceProperties"}


def test_a_deferred_engine_that_was_not_built_gives_its_command(build: Build) -> None:
    file = build(**DEFERRED)
    file.unlink()

    assert cannot_run_here(file).endswith(
        "model.engine' was not built yet: build it on this machine, in the folder with its ONNX file: "
        "trtexec --onnx=model.onnx"
    )


def test_what_keeps_an_engine_from_running_is_known_without_loading_it(build: Build, install: Install) -> None:
    cuda = install(loads=False)

    assert cannot_run_here(build()) == ""
    assert "it was built for sm86" in cannot_run_here(build(targets=("sm86",)))
    assert "loads only in that release" in cannot_run_here(build(package_version="1.6.0"))
    assert "needs its manifest" in cannot_run_here(build().with_name("other.engine"))
    assert set(cuda.calls) == {"cudaGetDeviceCount", "cudaGetDeviceProperties"}
    install(devices=0)
    assert "an NVIDIA GPU with its driver is needed" in cannot_run_here(build())
