"""Downloads against a server on this machine: whole or not at all, and one line where it fails."""

import dataclasses
import gzip
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from capsedge.data import download, load_dataset
from capsedge.data.known import KNOWN, SHIPPED_SUBSET, SUBSET, Known
from capsedge.errors import DataError, MissingExtra, WrongUse

pytest.importorskip("pooch")

IdxFolder = Callable[..., Path]
Serve = Callable[[Path], str]

FILES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


class Handler(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/short/"):
            # Promises more than it sends, as when a line breaks.
            content = Path(self.translate_path(self.path.removeprefix("/short"))).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asked() -> list[str]:
    """Paths that the servers were asked for, in order."""
    return []


@pytest.fixture
def serve(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = type("Recording", (Handler,), {"asked": asked})
    servers = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def gone() -> str:
    """The address of a server that is no more."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.fixture
def published(tmp_path: Path, idx_folder: IdxFolder) -> Path:
    """The four files of a small MNIST as its authors would publish them."""
    labels = list(range(10)) * 4
    name = "{prefix}-{kind}-idx{dims}-ubyte.gz"
    return idx_folder(tmp_path / "published", train_labels=labels, test_labels=labels, name=name, zipped=True)


@pytest.fixture
def set_mirrors(published: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let `mnist` be the published files, at the given addresses."""
    sums = {file: hashlib.sha256((published / file).read_bytes()).hexdigest() for file in FILES}

    def change(*mirrors: str) -> None:
        entry = Known("MNIST", tuple("0123456789"), sums, mirrors)
        monkeypatch.setattr("capsedge.data.known.KNOWN", {**KNOWN, "mnist": entry})

    return change


SetMirrors = Callable[..., None]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def test_a_download_fills_the_cache_in_silence_and_a_second_one_asks_for_nothing(
    empty_machine: Path,
    published: Path,
    serve: Serve,
    set_mirrors: SetMirrors,
    asked: list[str],
    gone: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    set_mirrors(serve(published))
    assert download("mnist") == empty_machine / "mnist"
    assert contents(empty_machine / "mnist") == contents(published)
    assert load_dataset("mnist").description == "MNIST: 30 training, 10 validation, 40 test images"
    assert len(asked) == 4
    assert download("mnist") == empty_machine / "mnist"
    assert len(asked) == 4
    set_mirrors(gone)
    assert download("mnist") == empty_machine / "mnist"
    assert capfd.readouterr() == ("", "")  # a pipe gets no progress bar


def test_a_download_that_was_cut_off_goes_on_with_what_is_missing_or_damaged(
    empty_machine: Path, published: Path, serve: Serve, set_mirrors: SetMirrors, asked: list[str]
) -> None:
    set_mirrors(serve(published))
    download("mnist")
    asked.clear()
    (empty_machine / "mnist" / FILES[1]).unlink()
    (empty_machine / "mnist" / FILES[2]).write_bytes(b"damaged")
    download("mnist")
    assert asked == [f"/{FILES[1]}", f"/{FILES[2]}"]
    assert contents(empty_machine / "mnist") == contents(published)


def test_the_next_mirror_is_asked_where_one_is_gone_or_has_not_the_file_or_has_another(
    empty_machine: Path, published: Path, tmp_path: Path, serve: Serve, set_mirrors: SetMirrors, gone: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    for file in FILES:
        (tmp_path / "other" / file).write_bytes(gzip.compress(b"something else"))
    good = serve(published)
    set_mirrors(gone, serve(tmp_path / "empty"), serve(tmp_path / "other"), good + "short/", good)
    download("mnist")
    assert contents(empty_machine / "mnist") == contents(published)


def test_a_wrong_checksum_leaves_no_file_and_is_one_line(
    empty_machine: Path, published: Path, serve: Serve, set_mirrors: SetMirrors
) -> None:
    set_mirrors(serve(published))
    with (published / FILES[1]).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(
        DataError, match=rf"cannot download '{FILES[1]}' of 'mnist' \(127\.0.*: wrong checksum\)"
    ) as caught:
        download("mnist")
    assert "\n" not in str(caught.value)
    assert f"put its four IDX files into '{empty_machine / 'mnist'}'" in str(caught.value)
    assert list(contents(empty_machine / "mnist")) == [FILES[0]]
    with pytest.raises(DataError, match="not on this machine"):
        load_dataset("mnist")


def test_a_transfer_that_breaks_off_leaves_no_file(
    empty_machine: Path, published: Path, serve: Serve, set_mirrors: SetMirrors
) -> None:
    set_mirrors(serve(published) + "short/")
    with pytest.raises(DataError, match="the transfer broke off"):
        download("mnist")
    assert contents(empty_machine / "mnist") == {}


def test_no_network_is_one_line_that_names_each_mirror(
    empty_machine: Path, tmp_path: Path, serve: Serve, set_mirrors: SetMirrors, gone: str
) -> None:
    (tmp_path / "empty").mkdir()
    set_mirrors(gone, serve(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"\(127.*: no connection; 127.*: HTTP 404\): check the network") as caught:
        download("mnist")
    assert "\n" not in str(caught.value)
    assert contents(empty_machine / "mnist") == {}


def test_what_lies_elsewhere_on_this_machine_is_not_fetched(
    empty_machine: Path, tmp_path: Path, idx_folder: IdxFolder, set_mirrors: SetMirrors, gone: str
) -> None:
    set_mirrors(gone)
    systems = idx_folder(tmp_path / "system" / "mnist", train_labels=[0], test_labels=[0])
    assert download("mnist") == systems
    assert download(SUBSET) == SHIPPED_SUBSET


def test_a_cache_that_cannot_be_written_is_one_line(
    empty_machine: Path, published: Path, serve: Serve, set_mirrors: SetMirrors
) -> None:
    set_mirrors(serve(published))
    empty_machine.parent.mkdir()
    empty_machine.write_text("a file where the folder would be")
    with pytest.raises(DataError, match=r"cannot write '.*train-images-idx3-ubyte\.gz': "):
        download("mnist")


def test_a_terminal_shows_each_file(
    empty_machine: Path,
    published: Path,
    serve: Serve,
    set_mirrors: SetMirrors,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes stderr for a terminal
    set_mirrors(serve(published))
    download("mnist")
    out, err = capfd.readouterr()
    assert out == ""
    assert all(file in err for file in FILES)


def test_without_pooch_the_extra_is_named(
    empty_machine: Path, set_mirrors: SetMirrors, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mirrors(gone)
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'capsedge\[train\]'"):
        download("mnist")


def test_an_unknown_name_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="did you mean 'mnist'"):
        download("mnits")


def test_cifar_10_is_fetched_as_one_archive_without_pickles(
    empty_machine: Path,
    tmp_path: Path,
    cifar_folder: Callable[..., Path],
    serve: Serve,
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = cifar_folder(tmp_path / "published", "binary", packed=True) / "cifar-10-binary.tar.gz"
    sums = {archive.name: hashlib.sha256(archive.read_bytes()).hexdigest()}
    assert list(KNOWN["cifar-10"].sha256) == list(sums)
    entry = dataclasses.replace(KNOWN["cifar-10"], sha256=sums, mirrors=(serve(tmp_path / "published"),))
    monkeypatch.setattr("capsedge.data.known.KNOWN", {**KNOWN, "cifar-10": entry})
    assert download("cifar-10") == empty_machine / "cifar-10"
    assert asked == ["/cifar-10-binary.tar.gz"]
    assert load_dataset("cifar-10").description == "CIFAR-10: 40 training, 10 validation, 10 test images"


def test_a_cifar_10_that_cannot_be_fetched_says_what_to_put_where(
    empty_machine: Path, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = dataclasses.replace(KNOWN["cifar-10"], mirrors=(gone,))
    monkeypatch.setattr("capsedge.data.known.KNOWN", {**KNOWN, "cifar-10": entry})
    with pytest.raises(
        DataError, match=r"or put cifar-10-binary.tar.gz or cifar-10-python.tar.gz into .*cifar\.html"
    ):
        download("cifar-10")
