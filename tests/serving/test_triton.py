"""A real Triton server on this machine serves the built-in model as capsedge runs it."""

import http
import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import capsedge
from benchmarks.triton import ENVIRONMENT, Server, load, sample_images, served
from capsedge.export.triton import Serving
from capsedge.runtime.open import open_session
from capsedge.runtime.session import contract_needed

pytestmark = [pytest.mark.triton, pytest.mark.timeout(900)]

MODEL = Path(capsedge.__file__).parent / "builtin" / "fashion-mnist.onnx"
REQUESTS, CLIENTS = 10_000, 16


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served(MODEL, Path(os.environ.get("CAPSEDGE_TRITON", ENVIRONMENT)), serving=Serving(threads=1)) as server:
        yield server


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    with open_session(MODEL) as session:
        return sample_images(contract_needed(session))


@pytest.fixture(scope="module")
def wanted(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Lengths of the images in this process, one by one."""
    with open_session(MODEL) as session:
        return np.concatenate([session.run(image[None]).lengths for image in images])


@pytest.mark.parametrize("kind", ["HTTP", "gRPC"])
def test_requests_of_sixteen_clients_are_batched_and_get_the_lengths_of_this_process(
    server: Server, images: NDArray[np.uint8], wanted: NDArray[np.float32], kind: str
) -> None:
    before = server.statistics()

    _, _, lengths = load(kind, server, images, requests=REQUESTS, clients=CLIENTS)

    after = server.statistics()
    again = wanted[np.arange(REQUESTS) % len(images)]
    np.testing.assert_allclose(lengths, again, atol=1e-5)
    assert np.array_equal(lengths.argmax(1), again.argmax(1))
    assert after["inference_count"] - before["inference_count"] == REQUESTS
    assert after["execution_count"] - before["execution_count"] < REQUESTS


def test_an_answer_has_the_names_of_the_classes(
    server: Server, images: NDArray[np.uint8], wanted: NDArray[np.float32]
) -> None:
    image = {
        "name": "image",
        "datatype": "UINT8",
        "shape": [1, *images.shape[1:]],
        "data": images[0].ravel().tolist(),
    }
    lengths = {"name": "lengths", "parameters": {"classification": 1}}
    request = json.dumps({"inputs": [image], "outputs": [lengths]}).encode()

    status, body = server.get(f"/v2/models/{server.model}/infer", request)

    assert status == http.client.OK
    (output,) = json.loads(body)["outputs"]
    _, index, name = output["data"][0].split(":")
    with open_session(MODEL) as session:
        assert int(index) == wanted[0].argmax()
        assert name == contract_needed(session).classes[int(index)]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"shape": [1, 28, 27, 1], "data": [0] * 28 * 27}, http.client.BAD_REQUEST),
        ({"shape": [65, 28, 28, 1], "data": [0] * 65 * 28 * 28}, http.client.BAD_REQUEST),  # max_batch_size is 64
        ({"datatype": "FP32"}, http.client.BAD_REQUEST),
        ({"name": "picture"}, http.client.BAD_REQUEST),
        ({"data": [0]}, http.client.INTERNAL_SERVER_ERROR),
    ],
)
def test_a_malformed_request_is_refused_and_the_server_goes_on(
    server: Server,
    images: NDArray[np.uint8],
    wanted: NDArray[np.float32],
    change: dict[str, object],
    status: http.HTTPStatus,
) -> None:
    image = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28, 1], "data": images[0].ravel().tolist()}

    found, body = server.get(f"/v2/models/{server.model}/infer", json.dumps({"inputs": [image | change]}).encode())

    assert found == status
    assert json.loads(body)["error"]
    _, _, lengths = load("HTTP", server, images, requests=1, clients=1)
    np.testing.assert_allclose(lengths[0], wanted[0], atol=1e-5)


def test_a_killed_backend_is_not_noticed_by_readiness_and_started_again_by_load(
    server: Server, images: NDArray[np.uint8], wanted: NDArray[np.float32]
) -> None:
    """docs/serving.md tells operators both."""
    (backend,) = server.backends()
    os.kill(backend, signal.SIGKILL)

    with pytest.raises(RuntimeError, match=r"500: .*is not healthy"):
        load("HTTP", server, images, requests=1, clients=1)
    assert server.get("/v2/health/ready")[0] == http.client.OK
    assert server.get(f"/v2/repository/models/{server.model}/load", b"{}")[0] == http.client.OK

    _, _, lengths = load("HTTP", server, images, requests=20, clients=2)
    np.testing.assert_allclose(lengths, wanted[:20], atol=1e-5)
    assert backend not in server.backends()
