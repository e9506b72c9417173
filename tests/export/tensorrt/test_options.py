"""What may be asked for, and which TensorRT is asked; machines that are not here are pretended."""

import sys
from types import ModuleType

import pytest

from capsedge.contract import Precision
from capsedge.errors import MissingExtra, ProviderError, WrongUse
from capsedge.export.tensorrt import BuildOptions, check_options, choose_package, options
from capsedge.runtime.tensorrt.cuda import Device
from tests.export.tensorrt.conftest import Machine

GPU = Device("Orin", "sm87")


BOTH = ("tensorrt", "tensorrt_rtx")


@pytest.mark.parametrize(
    ("installed", "gpu", "wanted", "chosen"),
    [
        (BOTH, GPU, BuildOptions(), "tensorrt"),
        (BOTH, None, BuildOptions(), "tensorrt_rtx"),
        (BOTH, GPU, BuildOptions(targets=("sm86",)), "tensorrt_rtx"),
        (BOTH, None, BuildOptions(hardware_compatible=True), "tensorrt"),
        (("tensorrt",), None, BuildOptions(), "tensorrt"),  # and it says itself that it has no GPU
    ],
)
def test_the_package_that_supports_the_options_is_chosen(
    installed: tuple[str, ...], gpu: Device | None, wanted: BuildOptions, chosen: str, machine: Machine
) -> None:
    machine(*installed, gpu=gpu)
    assert choose_package(wanted) == chosen


@pytest.mark.parametrize(("packages", "targets"), [(("tensorrt_rtx",), ()), (BOTH, ("sm86",))])
def test_hardware_compatibility_is_nothing_for_rtx(
    packages: tuple[str, ...], targets: tuple[str, ...], machine: Machine
) -> None:
    machine(*packages)
    with pytest.raises(WrongUse, match=r"is an option of classic TensorRT: an engine of TensorRT-RTX runs on every"):
        choose_package(BuildOptions(targets=targets, hardware_compatible=True))


@pytest.mark.parametrize("wanted", [BuildOptions(), BuildOptions(hardware_compatible=True)])
def test_without_tensorrt_the_extra_is_named(wanted: BuildOptions, machine: Machine) -> None:
    machine()
    with pytest.raises(MissingExtra, match=r"pip install 'capsedge\[trt\]'"):
        choose_package(wanted)


def test_targets_without_rtx_say_which_tensorrt_has_them(machine: Machine) -> None:
    machine("tensorrt", gpu=GPU)
    with pytest.raises(MissingExtra, match=r"for given targets needs TensorRT-RTX, .* 'capsedge\[trt\]'"):
        choose_package(BuildOptions(targets=("sm86",), allow_deferred=True))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (BuildOptions(batch=(8, 1, 4)), r"rising order.* got \(8, 1, 4\)"),
        (BuildOptions(batch=(0, 1, 4)), r"from 1, got \(0, 1, 4\)"),
        (BuildOptions(workspace_mb=0), "expected 1 MiB or more, got 0"),
        (BuildOptions(targets=("ampere",)), "a compute capability such as sm86, got 'ampere'"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_asked(
    wanted: BuildOptions, said: str, machine: Machine
) -> None:
    machine("tensorrt_rtx")
    with pytest.raises(WrongUse, match=said):
        check_options(wanted)


def test_a_target_that_the_package_does_not_have_is_told_with_those_that_it_has() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    with pytest.raises(
        WrongUse, match=rf"tensorrt_rtx {rtx.__version__} has no target sm33, sm87: there are: sm75, sm80, sm86, sm89"
    ):
        check_options(BuildOptions(targets=("sm33", "sm86", "sm87")))


def test_a_precision_that_a_target_cannot_compute_is_told_before_the_export() -> None:
    pytest.importorskip("tensorrt_rtx")
    asked: list[Precision] = ["fp16", "int8"]
    with pytest.raises(
        WrongUse,
        match=r"in int8 was requested for sm75, which cannot compute it: use --precision fp16 or int8\+fp16, or",
    ):
        check_options(BuildOptions(targets=("sm75", "sm86")), asked)
    assert check_options(BuildOptions(targets=("sm75", "sm86")), ["fp16", "int8+fp16"]) == "tensorrt_rtx"


@pytest.mark.parametrize("found", [GPU, None], ids=["a GPU", "none"])
def test_the_gpu_is_asked_of_cuda(found: Device | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(_: object) -> Device:
        if found is None:
            raise ProviderError("no device")
        return found

    monkeypatch.setattr(options, "load_cuda", lambda: None)
    monkeypatch.setattr(options, "first_device", first)
    assert options.gpu() == found


@pytest.mark.parametrize("available", [True, False])
def test_without_cuda_python_the_gpu_is_asked_of_torch(available: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtra("cuda")

    cuda = ModuleType("torch.cuda")
    vars(cuda).update(
        is_available=lambda: available,
        get_device_capability=lambda _: (8, 7),
        get_device_name=lambda _: "Orin",
    )
    torch = ModuleType("torch")
    vars(torch)["cuda"] = cuda
    monkeypatch.setattr(options, "load_cuda", missing)
    monkeypatch.setattr(options, "_installed", lambda _: True)
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert options.gpu() == (GPU if available else None)
