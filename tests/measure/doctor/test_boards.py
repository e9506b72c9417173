"""The doctor on a Jetson and a Raspberry Pi: stand-ins made of their files; no test ran on a board."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from capsedge.measure.doctor.boards import find_board
from tests.measure.machine.roots import ORIN_NANO, RASPBERRY_PI, WORKSTATION, root

JETPACK_7 = {
    "etc/nv_tegra_release": "# R38 (release), REVISION: 4.0, GCID: 1, BOARD: generic, EABI: aarch64\n",
    "var/lib/dpkg/status": "",
    "usr/lib/aarch64-linux-gnu/libnvinfer.so.10": "",
    "usr/lib/aarch64-linux-gnu/libnvinfer.so.10.13.3": "",
    "usr/local/cuda/lib64/libcudart.so.13.0.48": "",
}
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


def found(folder: Path, files: Mapping[str, str]) -> dict[str, tuple[str, str, str]]:
    return {each.subject: (each.state, each.detail, each.advice) for each in find_board(root(folder, files))}


def test_other_machines_have_no_findings_of_a_board(tmp_path: Path) -> None:
    assert find_board(root(tmp_path, WORKSTATION)) == ()


def test_a_jetson_is_told_step_by_step(tmp_path: Path) -> None:
    seen = found(tmp_path, ORIN_NANO | JETPACK_7)

    assert list(seen) == ["JetPack", "CUDA of JetPack", "TensorRT of JetPack", "Power mode", "Thermal zones"]
    board = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert seen["JetPack"] == ("installed", f"{board}: JetPack 7.1 (L4T 38.4.0)", "")
    assert seen["CUDA of JetPack"] == ("installed", "libcudart.so.13.0.48", "")
    assert seen["TensorRT of JetPack"] == ("installed", "libnvinfer.so.10.13.3", "")
    assert seen["Power mode"] == ("works", "MAXN_SUPER, set by nvpmodel", "")
    assert seen["Thermal zones"] == (
        "works",
        "3, the hottest tj-thermal with 52.0 °C",
        "",
    )  # a sleeping one is left out


def test_the_highest_version_of_a_library_is_told_by_its_numbers(tmp_path: Path) -> None:
    older = {"usr/local/cuda/lib64/libcudart.so.12.6.68": "", "usr/local/cuda/lib64/libcudart.so.9.10.1008": ""}

    assert found(tmp_path, ORIN_NANO | JETPACK_7 | older)["CUDA of JetPack"][1] == "libcudart.so.13.0.48"


def test_an_old_jetpack_without_libraries_says_what_to_do(tmp_path: Path) -> None:
    seen = found(tmp_path, {**ORIN_NANO, "var/lib/nvpmodel/status": ""})

    assert seen["JetPack"][2].startswith("use JetPack 7: capsedge needs Python 3.11 or later")
    assert seen["TensorRT of JetPack"] == ("missing", "there is no libnvinfer.so", "sudo apt install nvidia-jetpack")
    assert seen["Power mode"] == ("missing", "no file says which", "sudo nvpmodel -q")


def test_a_raspberry_pi_tells_what_slows_it_down(tmp_path: Path) -> None:
    seen = found(tmp_path, RASPBERRY_PI)

    assert list(seen) == ["Board", "Throttling", "Governor", "Thermal zones"]
    assert seen["Board"] == ("installed", "Raspberry Pi 5 Model B Rev 1.0", "")
    assert seen["Throttling"] == (
        "works",
        "now: none; since the start: under-voltage, throttled",
        "use the power supply of this model",
    )
    assert seen["Governor"] == ("works", "ondemand", "for comparable latencies use the governor performance")
    assert seen["Thermal zones"][1:] == (
        "1, the hottest cpu-thermal with 81.3 °C",
        "cool the board before a measurement",
    )


@pytest.mark.parametrize(
    ("bits", "said", "advice"),
    [
        ("0", "now: none; since the start: none", ""),
        (
            "e0008",
            "now: soft temperature limit; since the start: clock capped, throttled, soft temperature limit",
            "cool",
        ),
        ("x", "no file of the firmware", "vcgencmd get_throttled"),
    ],
)
def test_the_firmwares_bits_are_told_in_words(bits: str, said: str, advice: str, tmp_path: Path) -> None:
    _, detail, todo = found(tmp_path, {**RASPBERRY_PI, THROTTLED: bits})["Throttling"]

    assert detail == said
    assert todo.startswith(advice)
    assert bool(todo) == bool(advice)
