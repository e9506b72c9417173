"""The options and the order of the proof; fixtures for this machine's devices, which skip if something is missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capsedge.measure.doctor import Diagnosis
from capsedge.runtime.tensorrt.cuda import Device
from tests.gpu import jobs
from tests.gpu.artifacts import FULL, QUICK, Artifacts
from tests.gpu.process import capsedge, isolated
from tests.gpu.report import GROUPS, Report

Need = Callable[[str], None]
Saw = Callable[..., None]

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the proof."""
    group = parser.getgroup("gpu", "the proof on a GPU (docs/prove-on-gpu.md)")
    group.addoption("--out", type=Path, metavar="DIR", help="a new folder for the report and all that is made")
    group.addoption("--run", type=Path, metavar="RUN", help="a finished run to export, instead of training one")
    group.addoption("--quick", action="store_true", help="a tiny network: proves only that the proof works")


def pytest_configure(config: pytest.Config) -> None:
    """Check the options, and report if a folder is given."""
    run, out = config.getoption("run"), config.getoption("out")
    if run is not None and not (run / "run.json").is_file():
        raise pytest.UsageError(f"--run: expected the folder of a run made by capsedge train, got '{run}'")
    if out is not None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise pytest.UsageError(f"--out: expected a new or an empty folder, got '{out}', which is not empty")
        out.mkdir(parents=True, exist_ok=True)
        config.pluginmanager.register(Report(out.resolve(), config.invocation_params.args), "proof")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize tests by the files, engines or batches of the plan."""
    plan = QUICK if metafunc.config.getoption("quick") else FULL
    for name, values in (("label", plan.labels), ("engine_label", plan.engines), ("batch", plan.batches)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by their dependencies; tests of other folders stay in front."""
    order = list(GROUPS)
    items.sort(key=lambda item: order.index(item.path.stem) if item.path.parent == HERE else -1)


@pytest.fixture
def saw(record_property: Callable[[str, object], None]) -> Saw:
    """Records a test's result line and its figures for the report."""

    def tell(text: str, **figures: Any) -> None:
        for name, value in {"saw": text, **figures}.items():
            record_property(name, value)

    return tell


@pytest.fixture(scope="session")
def diagnosis() -> Diagnosis:
    """The diagnosis of `capsedge doctor`."""
    return capsedge("doctor", kind=Diagnosis, codes=(0, 1))


@pytest.fixture(scope="session")
def need(diagnosis: Diagnosis) -> Need:
    """Skips a test if the doctor misses a component; a broken one is tested anyway."""
    findings = {finding.subject: finding for finding in diagnosis.findings}

    def need(subject: str) -> None:
        found = findings[subject]
        if found.state == "missing":
            pytest.skip(f"{subject}: {'; '.join(filter(None, (found.detail, found.advice)))}")

    return need


@pytest.fixture(scope="session")
def device() -> Device | None:
    """The GPU, or None; the GPU's own test reports a driver that crashes."""
    try:
        return isolated(jobs.gpu_here)
    except pytest.fail.Exception:
        return None


@pytest.fixture(scope="session")
def gpu(need: Need, device: Device | None) -> Device:
    """The GPU; without one the test is skipped."""
    need("NVIDIA GPU")
    assert device is not None, "capsedge doctor found a GPU, and CUDA finds none"
    return device


@pytest.fixture(scope="session")
def torch_here() -> jobs.Torch:
    """Torch, which may have another CUDA than the providers."""
    return isolated(jobs.torch_here)


@pytest.fixture(scope="session")
def cuda(torch_here: jobs.Torch) -> jobs.Torch:
    """Torch with a CUDA device; without one the test is skipped."""
    if not torch_here.devices:
        built = f"built for CUDA {torch_here.cuda}" if torch_here.cuda else "built without CUDA"
        pytest.skip(f"torch {torch_here.version}, {built}, finds no CUDA device")
    return torch_here


@pytest.fixture(scope="session")
def artifacts(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, torch_here: jobs.Torch
) -> Artifacts:
    """The artifacts that the tests share."""
    out, given = pytestconfig.getoption("out"), pytestconfig.getoption("run")
    folder = tmp_path_factory.mktemp("proof") if out is None else out.resolve()
    plan = QUICK if pytestconfig.getoption("quick") else FULL
    return Artifacts(folder, plan, None if given is None else given.resolve(), cuda=bool(torch_here.devices))


@pytest.fixture(scope="session", autouse=True)
def _the_report_names_the_gpu(pytestconfig: pytest.Config, device: Device | None) -> None:
    report = pytestconfig.pluginmanager.get_plugin("proof")
    if report is not None and device is not None:
        report.gpu = f"{device.name} ({device.target})"
