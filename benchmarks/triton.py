"""A real Triton server with the Python backend, on this machine: `python -m benchmarks.triton` measures it.

The package nvidia-pytriton has a tritonserver for Linux on x86-64, which needs no GPU. `make triton` installs it into
an environment of its own, with the numpy and ONNX Runtime that the backend's process uses. Requests go to 127.0.0.1.
"""

import argparse
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient import grpc

import capsedge
from capsedge.contract import Contract
from capsedge.data import load_dataset
from capsedge.export.triton import Serving, write_repository
from capsedge.processor import instruction_sets
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session, contract_needed
from capsedge.runtime.settings import Settings

ENVIRONMENT = Path(".venv-triton")
READY_S, STOP_S = 90, 20
STUB = "triton_python_backend_stub"
IMAGES = 200  # different images that the requests take in turn

Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        process: The server.
        model: Name of its one model.
        http: Port of HTTP.
        grpc: Port of gRPC.
        log: What it writes.
    """

    process: "subprocess.Popen[bytes]"
    model: str
    http: int
    grpc: int
    log: Path

    def get(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of a request over HTTP: GET, or POST with a body."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.http, timeout=60)) as connection:
            connection.request("GET" if body is None else "POST", path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def statistics(self) -> dict[str, Any]:
        """Triton's counts of the model: `inference_count` images in `execution_count` batches."""
        status, body = self.get(f"/v2/models/{self.model}/stats")
        assert status == http.client.OK, body
        found: dict[str, Any] = json.loads(body)["model_stats"][0]
        return found

    def backends(self) -> list[int]:
        """Process ids of the backend's processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(each) for each in children if STUB in Path(f"/proc/{each}/cmdline").read_text()]


@contextlib.contextmanager
def served(model: Path | str, environment: Path = ENVIRONMENT, *, serving: Serving | None = None) -> Iterator[Server]:
    """Serve an accepted ONNX file with the Python backend, until the context ends.

    Args:
        model: The file.
        environment: The virtual environment with nvidia-pytriton, numpy and onnxruntime.
        serving: How Triton runs the model.
    """
    packages = next(environment.absolute().glob("lib/python3*/site-packages"), None)
    if packages is None:
        raise FileNotFoundError(f"there is no environment '{environment}': make triton installs it")
    home = packages / "pytriton" / "tritonserver"
    version = packages.parent.name.removeprefix("python")
    with tempfile.TemporaryDirectory(prefix="capsedge-triton-") as folder:
        place = Path(folder)
        name = write_repository(place / "models", Path(model), serving=serving, python=True).name
        backend = place / "backends" / "python"
        shutil.copytree(home / "backends" / "python", backend)
        shutil.copy(home / "python_backend_stubs" / version / STUB, backend)
        ports = {"http": _free_port(), "grpc": _free_port()}
        command = [str(home / "bin" / "tritonserver"), f"--model-repository={place / 'models'}"]
        command += [f"--backend-directory={place / 'backends'}", "--allow-metrics=false"]
        command += ["--model-control-mode=explicit", "--load-model=*"]
        for kind, port in ports.items():
            command += [f"--{kind}-address=127.0.0.1", f"--{kind}-port={port}"]
        # The Python in the backend's process finds the environment by the first python3 on the PATH.
        found = {"PATH": f"{environment.absolute() / 'bin'}:{os.environ['PATH']}"}
        found |= {"LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs")}
        log = place / "server.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command, env={**os.environ, **found}, stdout=stream, stderr=stream, start_new_session=True
            )
        server = Server(process, name, ports["http"], ports["grpc"], log)
        try:
            _wait_until_ready(server)
            yield server
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(OSError):
            if server.get("/v2/health/ready")[0] == http.client.OK:
                return
        time.sleep(0.2)
    how = "has ended" if server.process.poll() is not None else f"is not ready after {READY_S} s"
    raise RuntimeError(f"the server {how}:\n{server.log.read_text(errors='replace')[-3000:]}")


@contextlib.contextmanager
def http_client(server: Server) -> Iterator[Ask]:
    """A client of KServe's HTTP with Triton's binary extension; it keeps its connection open."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.http, timeout=60)) as connection:

        def ask(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            pixels = images.tobytes()
            image = {"name": "image", "datatype": "UINT8", "shape": images.shape}
            head = json.dumps(
                {
                    "inputs": [{**image, "parameters": {"binary_data_size": len(pixels)}}],
                    "outputs": [{"name": "lengths", "parameters": {"binary_data": False}}],
                }
            ).encode()
            lengths = {"Inference-Header-Content-Length": str(len(head))}
            connection.request("POST", f"/v2/models/{server.model}/infer", head + pixels, lengths)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"{answer.status}: {body.decode(errors='replace')}")
            (output,) = json.loads(body)["outputs"]
            return np.array(output["data"], np.float32).reshape(output["shape"])

        yield ask


@contextlib.contextmanager
def grpc_client(server: Server) -> Iterator[Ask]:
    """A client of Triton's gRPC, by NVIDIA's own library."""
    with contextlib.closing(grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")) as client:

        def ask(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            image = grpc.InferInput("image", images.shape, "UINT8").set_data_from_numpy(images)
            wanted = [grpc.InferRequestedOutput("lengths")]
            lengths: NDArray[np.float32] = client.infer(server.model, [image], outputs=wanted).as_numpy("lengths")
            return lengths

        yield ask


CLIENTS = {"HTTP": http_client, "gRPC": grpc_client}


def load(
    kind: str, server: Server, images: NDArray[np.uint8], *, requests: int, clients: int
) -> tuple[float, NDArray[np.float64], NDArray[np.float32]]:
    """Send single images from several clients, each as soon as its last answer has come.

    Returns:
        Seconds in all; seconds of each request; lengths [requests, classes], in the order of requests.
        Request n has image n modulo the number of images.
    """

    def run(first: int) -> list[tuple[int, float, NDArray[np.float32]]]:
        with CLIENTS[kind](server) as ask:
            found = []
            for number in range(first, requests, clients):
                image = images[number % len(images)][None]
                begun = time.perf_counter()
                lengths = ask(image)
                found.append((number, time.perf_counter() - begun, lengths[0]))
            return found

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        rows = sorted((row for part in pool.map(run, range(clients)) for row in part), key=lambda row: row[0])
    return time.perf_counter() - begun, np.array([row[1] for row in rows]), np.stack([row[2] for row in rows])


def sample_images(contract: Contract) -> NDArray[np.uint8]:
    """Test images of the shipped subset; random ones of the contract's shape for another model."""
    if contract.input.shape == (28, 28, 1):
        return load_dataset("fashion-mnist-subset").test.images[:IMAGES]
    return np.random.default_rng(0).integers(0, 256, (IMAGES, *contract.input.shape), np.uint8)


def _measured(model: Path, environment: Path, *, requests: int, clients: int, rounds: int) -> Iterator[str]:
    """Lines of a table: the server by both protocols and the file itself in this process, in rounds by turns."""
    rates: dict[str, list[float]] = {}
    times: dict[str, list[NDArray[np.float64]]] = {}
    with (
        open_session(model, Settings(threads=1)) as session,
        served(model, environment, serving=Serving(threads=1)) as server,
    ):
        images = sample_images(contract_needed(session))
        before = server.statistics()
        for _ in range(rounds):
            for kind in CLIENTS:
                whole, each, _ = load(kind, server, images, requests=max(1, requests // rounds), clients=clients)
                rates.setdefault(kind, []).append(len(each) / whole)
                times.setdefault(kind, []).append(each)
            whole, each = _in_process(session, images, max(1, requests // rounds))
            rates.setdefault("in this process", []).append(len(each) / whole)
            times.setdefault("in this process", []).append(each)
        after = server.statistics()
    yield f"| way | images/s (median of {rounds} rounds) | p50, ms | p99, ms |"
    yield "|---|---|---|---|"
    for kind, rate in rates.items():
        p50, p99 = np.percentile(np.concatenate(times[kind]), [50, 99]) * 1e3
        name = f"{kind}, {clients} clients" if kind in CLIENTS else f"{kind}, one thread"
        yield f"| {name} | {np.median(rate):,.0f} | {p50:.2f} | {p99:.2f} |"
    inferred, executed = (after[key] - before[key] for key in ("inference_count", "execution_count"))
    yield ""
    yield f"Triton ran {inferred:,} images in {executed:,} batches: {inferred / executed:.1f} images a batch."
    yield f"Instruction sets: {' '.join(instruction_sets())}."


def _in_process(session: Session, images: NDArray[np.uint8], requests: int) -> tuple[float, NDArray[np.float64]]:
    """Seconds in all and of each of the same requests, one after another, without a server."""
    each = np.empty(requests)
    begun = time.perf_counter()
    for number in range(requests):
        start = time.perf_counter()
        session.run(images[number % len(images)][None])
        each[number] = time.perf_counter() - start
    return time.perf_counter() - begun, each


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.triton", description=__doc__)
    builtin = Path(capsedge.__file__).parent / "builtin" / "fashion-mnist.onnx"
    parser.add_argument("model", nargs="?", type=Path, default=builtin, help="accepted file [default: the built-in]")
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT, help="[default: %(default)s]")
    parser.add_argument("--requests", type=int, default=10_000, help="for each way [default: %(default)s]")
    parser.add_argument("--clients", type=int, default=16, help="[default: %(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="[default: %(default)s]")
    options = parser.parse_args(arguments)
    numbers = {key: getattr(options, key) for key in ("requests", "clients", "rounds")}
    for line in _measured(options.model, options.environment, **numbers):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
