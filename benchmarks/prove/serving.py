"""The steps of Triton: the repository written, and served where a server is on this machine."""

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

from benchmarks.prove.asked import RepositoryWanted
from benchmarks.prove.place import DECODER, Place
from benchmarks.prove.record import Failed, Found, NotPossible
from capsedge.contract import Contract, EngineManifest, contract_of
from capsedge.golden import unpack_images
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.tensorrt.manifest import read_manifest

REPOSITORY = "models"
URL = "http://127.0.0.1:8000/v2"
READY_WITHIN_S = 300
IMAGE = "tritonserver"  # in the name of any build of NVIDIA's


def repository(place: Place) -> Iterator[Found]:
    """Write every file that ran here and that Triton can load."""
    # The file with the decoder would have the name of the one without.
    opened = [each for each in place.opened if not each.label.startswith(DECODER)]
    onnx = [each.file for each in opened if each.provider == "cpu"]
    engines = [each.file for each in opened if each.provider is None]
    classic = [file for file in engines if read_manifest(place.out / file).package == "tensorrt"]
    # Engines of one network in one precision have one name in a repository: the first of them is served.
    served = [*onnx, *{file.partition(".tensorrt")[0]: file for file in reversed(classic)}.values()]
    if not served:
        raise NotPossible("nothing ran here that could be served")
    folders = place.job("repository", RepositoryWanted(REPOSITORY, tuple(served))).answer(tuple[str, ...])
    yield Found(f"{', '.join(Path(folder).name for folder in folders)}", {"folders": folders, "models": served})


def serve(place: Place) -> Iterator[Found]:
    """Start the server that is here, and ask each model for its golden sample."""
    folder = place.out / REPOSITORY
    models = {each.name: each for each in sorted(folder.iterdir())} if folder.is_dir() else {}
    if not models:
        raise NotPossible("there is no repository")
    command = server_command(folder, gpu=bool(place.here.gpu))
    if _ready():
        raise NotPossible(f"another server answers at {URL} already")
    with _running(command, place):
        differences = {name: _difference(name, _contract(model)) for name, model in models.items()}
    for name, (largest, accepted) in differences.items():
        if not largest <= accepted:
            raise Failed(f"the server's lengths of '{name}' differ by {largest:.2g}, {accepted:.2g} is accepted")
    text = ", ".join(f"{name} to {largest:.1e}" for name, (largest, _) in differences.items())
    yield Found(f"golden samples: {text}", {"command": command, "differences": differences})


def server_command(folder: Path, *, gpu: bool) -> list[str]:
    """The line that serves a repository: the program, or an image that docker has already.

    Raises:
        NotPossible: There is neither.
    """
    if program := shutil.which("tritonserver"):
        return [program, f"--model-repository={folder}"]
    docker = shutil.which("docker")
    if docker is None:
        raise NotPossible("there is neither tritonserver nor docker on the path")
    words = [docker, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
    listed = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
    image = next((name for name in listed if IMAGE in name), None)
    if image is None:
        raise NotPossible(f"docker has no image of {IMAGE}; docs/serving.md names one")
    return [
        *(docker, "run", "--rm", *(["--gpus=all"] if gpu else []), "-p", "127.0.0.1:8000:8000"),
        *("-v", f"{folder}:/models:ro", image, "tritonserver", "--model-repository=/models"),
    ]


@contextmanager
def _running(command: list[str], place: Place) -> Iterator[None]:
    """Keep a server up until all of its models are ready, and meanwhile; its log is kept."""
    log = place.out / "tritonserver.log"
    with (
        log.open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True) as server,
    ):
        try:
            deadline = time.monotonic() + READY_WITHIN_S
            while not _ready():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"the server did not get ready, see {log.name}: {_last_line(log)}")
                time.sleep(0.2)
            yield
        finally:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(60)
            server.kill()


def _ready() -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{URL}/health/ready", timeout=5):
        return True
    return False


def _difference(name: str, contract: Contract) -> tuple[float, float]:
    """The largest difference of a length of a served model's golden sample, and the one that is accepted."""
    golden = contract.golden
    images = unpack_images(golden, contract.input.shape)
    entry = {"name": contract.input.name, "datatype": "UINT8", "shape": images.shape, "data": images.ravel().tolist()}
    question = json.dumps({"inputs": [entry], "outputs": [{"name": "lengths"}]}).encode()
    try:
        with urllib.request.urlopen(f"{URL}/models/{name}/infer", question, timeout=60) as answer:
            (output,) = json.load(answer)["outputs"]
    except urllib.error.HTTPError as error:
        raise Failed(f"the server refused the golden sample of '{name}': {error.read().decode()[:200]}") from error
    lengths = np.array(output["data"]).reshape(output["shape"])
    return float(np.abs(lengths - np.array(golden.lengths)).max()), golden.tolerance


def _contract(model: Path) -> Contract:
    """The contract of a served model's first version."""
    plan = model / "1" / "model.plan"
    if plan.is_file():
        manifest: EngineManifest = read_manifest(plan)
        return manifest.contract
    file = model / "1" / "model.onnx"
    contract = contract_of(read_onnx_file(file), source=str(file))
    if contract is None:
        raise Failed(f"'{file}' carries no contract")
    return contract


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
