"""What the commands that must start quickly load; `python -m benchmarks.cold_start` shows what it costs."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from capsedge.cli.app import COMMANDS
from tests.cli.conftest import ROOT

SAMPLE = ROOT / "samples" / "ankle-boot-1045.png"
SCRIPT = """
import sys
sys.argv[0] = "capsedge"
from capsedge.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""

# Of other people's, beside what Python brings.
LIBRARIES = {"PIL", "annotated_doc", "msgspec", "numpy", "onnxruntime", "shellingham", "typer", "typing_extensions"}
OURS = """
cli cli.app cli.console cli.infer cli.options cli.screens cli.screens.infer cli.usage contract cores data data.images
data.images.decode
data.images.figure data.images.fit data.images.background data.images.modes errors files fit golden interruption
lazy onnx_lite
onnx_lite.file onnx_lite.graph onnx_lite.schema onnx_lite.tensor onnx_lite.wire outside processor records run_record
runtime runtime.batches runtime.compiled runtime.feeds runtime.inputs runtime.infer runtime.infer.prefetch
runtime.infer.classify runtime.infer.sources runtime.infer.sources.gather runtime.infer.sources.listed
runtime.infer.sources.source
runtime.infer.sources.walk runtime.infer.usual runtime.int8_pairs runtime.loading runtime.models runtime.open
runtime.ort
runtime.ort.binding runtime.ort.options runtime.ort.placement runtime.ort.saturation runtime.ort.session
runtime.ort.threads runtime.ort.wheels runtime.providers runtime.session runtime.settings runtime.tensorrt
runtime.tensorrt.cuda runtime.tensorrt.manifest runtime.tensorrt.targets scoring statistics version
"""
NEEDED_FOR_HELP = {
    *("typer", "rich", "msgspec", "annotated_doc", "shellingham", "typing_extensions", "pygments", "markdown_it"),
    *("mdurl", "attr"),
}


def loaded(*arguments: str) -> set[str]:
    """The modules of a process that ran this command."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CAPSEDGE_DEBUG": ""}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return set(done.stderr.splitlines()[-1].split())


def libraries(modules: Iterable[str]) -> set[str]:
    """Packages that are neither ours nor Python's, nor those that an editable installation brings."""
    packages = {module.partition(".")[0] for module in modules}
    return {
        package
        for package in packages - {"capsedge"} - sys.stdlib_module_names
        if not package.startswith(("_", "sitecustomize", "distutils-precedence"))
    }


def test_one_image_is_classified_with_these_modules_and_no_others() -> None:
    modules = loaded("infer", str(SAMPLE))

    assert libraries(modules) <= LIBRARIES
    ours = {module.removeprefix("capsedge.") for module in modules if module.startswith("capsedge.")}
    assert ours == set(OURS.split())


@pytest.mark.parametrize(("arguments", "commands"), [(["--help"], {*COMMANDS}), (["infer", "--help"], {"infer"})])
def test_the_help_loads_its_commands_and_no_library_but_those_of_the_command_line(
    arguments: list[str], commands: set[str]
) -> None:
    modules = loaded(*arguments)

    assert libraries(modules) <= NEEDED_FOR_HELP
    assert {command for command in COMMANDS if f"capsedge.cli.{command}" in modules} == commands


def test_nothing_is_written_into_the_home_and_nothing_kept_to_be_sent(tmp_path: Path) -> None:
    """ONNX Runtime's wheels keep a device's id and its uses there, unless they are told not to."""
    told = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    for arguments in (["infer", str(SAMPLE)], ["doctor"]):
        environment = told | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, check=True, env=environment)

    assert list(tmp_path.rglob("*")) == []
