"""All findings, in the order of the output."""

from dataclasses import replace
from typing import get_args

from capsedge.measure.doctor.boards import find_board
from capsedge.measure.doctor.engines import TITLES, find_engine
from capsedge.measure.doctor.findings import Diagnosis
from capsedge.measure.doctor.gpu import find_driver, find_gpu
from capsedge.measure.doctor.packages import OPTIONAL, find_package, version_of
from capsedge.measure.doctor.presence import read_presence
from capsedge.measure.doctor.processor import find_processor
from capsedge.measure.doctor.providers import cuda_of_onnxruntime, find_onnxruntime, find_openvino, find_provider
from capsedge.measure.doctor.sensors import find_sensors
from capsedge.measure.machine import conditions, this_machine
from capsedge.runtime.providers import OrtProvider


def diagnose() -> Diagnosis:
    """Test everything that capsedge can use."""
    machine, presence = this_machine(), read_presence()
    if machine.gpu is not None and not presence.hardware:  # Windows, whose driver has no such files
        presence = replace(presence, hardware=True, reachable=True)
    graphics = find_gpu(presence, machine.gpu)
    target = graphics.target if graphics.state == "works" else ""
    cpu, *gpus = get_args(OrtProvider)
    findings = (
        find_onnxruntime(),
        find_processor(machine.processor),
        find_provider(cpu, presence),
        find_openvino(),
        graphics,
        find_driver(presence, machine.gpu, _wanted_cuda()),
        *(find_provider(provider, presence) for provider in gpus),
        *(find_engine(package, presence, target) for package in TITLES),
        find_sensors(conditions(), gpu=graphics.state != "missing", jetson=machine.board is not None),
        *find_board(),
        *(find_package(package, gpu=presence.hardware) for package in OPTIONAL),
    )
    return Diagnosis(machine, findings)


def _wanted_cuda() -> dict[str, int]:
    """CUDA's major release that each installed library was built for."""
    releases = {"cuda-python": version_of("cuda-python"), "ONNX Runtime": cuda_of_onnxruntime()}
    return {name: int(release.partition(".")[0]) for name, release in releases.items() if release}
