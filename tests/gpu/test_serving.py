"""Triton: a model repository of what ran here, served by the server of this machine, gives the golden samples."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from capsedge.contract import Contract, EngineManifest
from capsedge.golden import unpack_images
from capsedge.runtime.tensorrt.cuda import Device
from capsedge.runtime.tensorrt.manifest import read_manifest
from tests.gpu import jobs
from tests.gpu.artifacts import DECODER, Artifacts, contract_in
from tests.gpu.conftest import Saw
from tests.gpu.process import isolated

pytestmark = pytest.mark.gpu

URL = "http://127.0.0.1:8000/v2"
READY_WITHIN_S = 300


@pytest.fixture
def repository(artifacts: Artifacts) -> Path:
    """A repository of every file that ran here and that Triton can load."""

    def write() -> Path:
        # The file with the decoder would have the name of the one without.
        opened = [each for each in artifacts.opened if each.label != DECODER]
        onnx = [each.file for each in opened if each.provider == "cpu"]
        engines = [each for each in opened if each.provider is None]
        classic = [each for each in engines if read_manifest(each.file).package == "tensorrt"]
        # Engines of one network in one precision have one name in a repository: the first of them is served.
        served = [*onnx, *{each.label: each.file for each in reversed(classic)}.values()]
        if not served:
            pytest.skip("nothing ran that could be served: select the tests of providers or of engines too")
        isolated(jobs.repository, artifacts.folder / "models", served)
        return artifacts.folder / "models"

    return artifacts.once("models", write)


def test_a_repository_is_written(repository: Path, saw: Saw) -> None:
    saw(", ".join(sorted(folder.name for folder in repository.iterdir())))
    assert all((folder / "config.pbtxt").is_file() for folder in repository.iterdir())


def test_every_served_model_gives_its_golden_sample(
    repository: Path, artifacts: Artifacts, device: Device | None, saw: Saw
) -> None:
    command = server_command(repository, gpu=device is not None)
    if ready():
        pytest.skip(f"another server answers at {URL}: stop it")
    with running(command, artifacts.folder / "tritonserver.log"):
        differences = {model.name: difference(model) for model in sorted(repository.iterdir())}
    text = ", ".join(f"{name} to {largest:.1e}" for name, (largest, _) in differences.items())
    saw(f"golden samples: {text}", command=command, differences=differences)
    for name, (largest, accepted) in differences.items():
        assert largest <= accepted, f"the server's lengths of '{name}' differ by {largest:.2g}"


def server_command(folder: Path, *, gpu: bool) -> list[str]:
    """The line that serves a repository: the program, or an image that docker has already."""
    if program := shutil.which("tritonserver"):
        return [program, f"--model-repository={folder}"]
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("neither tritonserver nor docker is on the path (docs/serving.md)")
    words = [docker, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
    listed = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
    image = next((name for name in listed if "tritonserver" in name), None)
    if image is None:
        pytest.skip("docker has no image of tritonserver: docs/serving.md names one")
    return [
        *(docker, "run", "--rm", *(["--gpus=all"] if gpu else []), "-p", "127.0.0.1:8000:8000"),
        *("-v", f"{folder}:/models:ro", image, "tritonserver", "--model-repository=/models"),
    ]


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """Keep a server up until all of its models are ready, and meanwhile; its log is kept."""
    with (
        log.open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True) as server,
    ):
        try:
            deadline = time.monotonic() + READY_WITHIN_S
            while not ready():
                if server.poll() is not None or time.monotonic() > deadline:
                    last = log.read_text(errors="replace").strip().rpartition("\n")[2]
                    pytest.fail(f"the server did not get ready, see {log.name}: {last}", pytrace=False)
                time.sleep(0.2)
            yield
        finally:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(60)
            server.kill()


def ready() -> bool:
    """Whether a server answers and has all of its models."""
    with suppress(OSError), urllib.request.urlopen(f"{URL}/health/ready", timeout=5):
        return True
    return False


def difference(model: Path) -> tuple[float, float]:
    """The largest difference of a length of a served model's golden sample, and the one that is accepted."""
    contract = served_contract(model)
    golden = contract.golden
    images = unpack_images(golden, contract.input.shape)
    entry = {"name": contract.input.name, "datatype": "UINT8", "shape": images.shape, "data": images.ravel().tolist()}
    question = json.dumps({"inputs": [entry], "outputs": [{"name": "lengths"}]}).encode()
    try:
        with urllib.request.urlopen(f"{URL}/models/{model.name}/infer", question, timeout=60) as answer:
            (output,) = json.load(answer)["outputs"]
    except urllib.error.HTTPError as error:
        pytest.fail(f"the server refused the golden sample of '{model.name}': {error.read().decode()[:200]}")
    lengths = np.array(output["data"]).reshape(output["shape"])
    return float(np.abs(lengths - np.array(golden.lengths)).max()), golden.tolerance


def served_contract(model: Path) -> Contract:
    """The contract of a served model's first version."""
    plan = model / "1" / "model.plan"
    if plan.is_file():
        manifest: EngineManifest = read_manifest(plan)
        return manifest.contract
    return contract_in(model / "1" / "model.onnx")
