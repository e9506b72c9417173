"""The steps of Triton: which server is found, and a stand-in of one that answers over HTTP."""

import socket
import sys
from pathlib import Path

import pytest

from benchmarks.prove import serving
from benchmarks.prove.record import Failed, NotPossible
from capsedge.export.triton import write_repository
from tests.benchmarks.prove.places import Stage, printed

# Speaks as much of KServe's protocol as the step asks for; ONNX Runtime computes, and `ADDED` is added.
# sh starts Python, since the path of this environment may hold a space, which no #! line can.
SERVER = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import http.server, json, os, pathlib, sys
import numpy as np, onnxruntime
(option,) = sys.argv[1:]
repository = pathlib.Path(option.removeprefix("--model-repository="))
sessions = {{
    each.name: onnxruntime.InferenceSession(str(each / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    for each in repository.iterdir()
}}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/v2/health/ready" else 404)
        self.end_headers()

    def do_POST(self):
        _, _, models, name, verb = self.path.split("/")
        assert (models, verb) == ("models", "infer")
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (entry,) = asked["inputs"]
        assert entry["datatype"] == "UINT8"
        image = np.array(entry["data"], np.uint8).reshape(entry["shape"])
        (lengths,) = sessions[name].run(["lengths"], {{entry["name"]: image}})
        lengths = lengths + float(os.environ["ADDED"])
        output = {{"name": "lengths", "datatype": "FP32", "shape": lengths.shape, "data": lengths.ravel().tolist()}}
        answer = json.dumps({{"model_name": name, "outputs": [output]}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words):
        pass

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the path."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def place(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A place with a repository, and a port of its own for the server."""
    out = tmp_path / "out"
    write_repository(out / serving.REPOSITORY, good, name="small")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("PORT", str(port))
    monkeypatch.setattr(serving, "URL", f"http://127.0.0.1:{port}/v2")
    return Stage(out, printed)


def test_a_served_model_gives_its_golden_sample(
    place: Stage, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADDED", "0")
    program(programs, "tritonserver", SERVER.format(python=sys.executable))
    (found,) = serving.serve(place)
    largest, accepted = found.data["differences"]["small"]
    assert largest < 1e-5 <= accepted
    assert not serving._ready()  # the server was ended


def test_a_served_model_that_gives_other_lengths_fails(
    place: Stage, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADDED", "0.25")
    program(programs, "tritonserver", SERVER.format(python=sys.executable))
    with pytest.raises(Failed, match=r"the server's lengths of 'small' differ by 0\.25"):
        list(serving.serve(place))


def test_a_server_that_ends_at_once_says_its_last_line(place: Stage, programs: Path) -> None:
    program(programs, "tritonserver", "#!/bin/sh\necho 'failed to load all models'\nexit 1\n")
    with pytest.raises(Failed, match=r"did not get ready, see tritonserver\.log: failed to load all models"):
        list(serving.serve(place))


def test_without_a_server_nothing_is_started(place: Stage, programs: Path) -> None:
    with pytest.raises(NotPossible, match="neither tritonserver nor docker"):
        list(serving.serve(place))
    program(programs, "docker", "#!/bin/sh\necho ubuntu:24.04\n")
    with pytest.raises(NotPossible, match="docker has no image of tritonserver"):
        list(serving.serve(place))


def test_an_image_that_docker_has_is_taken(programs: Path, tmp_path: Path) -> None:
    program(programs, "docker", "#!/bin/sh\necho ubuntu:24.04\necho nvidia/tritonserver:26.09-py3\n")
    words = serving.server_command(tmp_path, gpu=True)
    assert words[1:4] == ["run", "--rm", "--gpus=all"]
    assert words[-3:] == ["nvidia/tritonserver:26.09-py3", "tritonserver", "--model-repository=/models"]
    assert f"{tmp_path}:/models:ro" in words
    assert "--gpus=all" not in serving.server_command(tmp_path, gpu=False)


def test_without_a_repository_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(NotPossible, match="there is no repository"):
        list(serving.serve(Stage(tmp_path, printed)))
    assert not any(tmp_path.iterdir())
