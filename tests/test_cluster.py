"""examples/many_images.py in Ray: a worker is killed on the way, and the answers are those of one process.

Ray is not in the developers' environment: `make cluster` installs it beside it, and asks for 100,000 images.
"""

import io
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image

from capsedge.data import load_dataset
from tests.in_process import in_this_process

ray = pytest.importorskip("ray", reason="Ray is not installed here: make cluster")
pytest.importorskip("pyarrow", reason="pyarrow is not installed here: make cluster")

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))
import many_images  # noqa: E402
from many_images import Batch, Classifier, in_ray  # noqa: E402

IMAGES = int(os.environ.get("CAPSEDGE_TEST_IMAGES", "5000"))
FILES = 10
KILLED = IMAGES // 2  # the row at which a worker is killed


class Dying(Classifier):
    """A worker that is killed at one row, the first time that any worker meets it; `model` names the flag, too."""

    def __init__(self, model: str) -> None:
        self.flag, model = (Path(model.partition("|")[0]), model.partition("|")[2])
        super().__init__(model)

    def __call__(self, batch: Batch) -> Batch:
        """Classify, or die."""
        if f"{KILLED:06d}.png" in batch["path"].tolist() and not self.flag.exists():
            self.flag.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The subset's test images again and again as PNG files, one of them broken."""
    import pyarrow
    from pyarrow import parquet

    contents = []
    for pixels in load_dataset("fashion-mnist-subset").test.images[..., 0]:
        Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
        contents.append(file.getvalue())
    rows = [contents[number % len(contents)] for number in range(IMAGES)]
    rows[7] = b"no image"
    names = [f"{number:06d}.png" for number in range(IMAGES)]
    folder = tmp_path_factory.mktemp("parquet")
    for part, start in enumerate(range(0, IMAGES, IMAGES // FILES)):  # Ray gives the rows of a file to one worker
        some = slice(start, start + IMAGES // FILES)
        table = pyarrow.table({"path": names[some], "bytes": rows[some]})
        parquet.write_table(table, folder / f"part-{part:02d}.parquet")
    return folder


def first_of(parquet: Path) -> bytes:
    """The first image's file."""
    content: bytes = next(many_images.batches(parquet))["bytes"][0]
    return content


@pytest.mark.timeout(3600)
def test_a_killed_worker_changes_no_line(
    parquet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "killed"
    alone = list(many_images.in_this_process(parquet, Classifier("builtin")))
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join([str(EXAMPLES), str(EXAMPLES.parent)]))

        together = list(in_ray(parquet, f"{flag}|builtin", workers=2, worker=Dying))
    ray.shutdown()

    assert flag.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(flag.read_text()), 0)
    assert len(alone) == IMAGES
    assert together == alone
    assert "error" in json.loads(alone[7])
    (tmp_path / "000000.png").write_bytes(first_of(parquet))
    monkeypatch.chdir(tmp_path)
    said = in_this_process(capsys, monkeypatch)("infer", "000000.png", "--invert", "no", "--json")
    assert said.stdout.splitlines() == alone[:1]
