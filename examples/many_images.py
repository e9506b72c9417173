"""Classify any number of images with Ray Data, on this machine or on a cluster.

    python examples/many_images.py IMAGES OUTPUT.jsonl [--model MODEL] [--workers N] [--address ADDRESS]

IMAGES is a folder, at any depth, or a Parquet file or folder with the columns `path` (text) and `bytes` (the content
of an image file). OUTPUT.jsonl gets one line of JSON for each image, as `capsedge infer --invert no --json` prints
it, in the order of the paths or rows; a broken image gives a line with `error`. If a worker dies, Ray starts another
and runs its batch again. On a cluster (`--address auto`) every machine needs capsedge, the model's file and the
images under the same paths. `--workers 0` runs in this process, without Ray. Needs `capsedge[cpu,ray]`.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

import capsedge
from capsedge.data.images import IMAGE_SUFFIXES, is_hidden

BATCH = 256
Batch = dict[str, NDArray[Any]]


class Classifier:
    """One worker: it opens the model once, and classifies batches on one thread.

    Args:
        model: A file or a name for `capsedge.load`.
    """

    def __init__(self, model: str) -> None:
        self.model = capsedge.load(model, capsedge.Settings(threads=1))

    def __call__(self, batch: Batch) -> Batch:
        """Classify images, from the column `bytes` or else from the files in `path`; returns the column `line`."""
        paths = batch["path"].tolist()
        images = batch["bytes"].tolist() if "bytes" in batch else paths
        # `auto` decides unclear images by the first ones of a batch, so the answers would depend on the batches.
        try:
            answers = [*self.model.predict(images, invert="no")]
        except capsedge.CapsedgeError:
            answers = [self.one(image) for image in images]
        lines = [self.line(path, answer) for path, answer in zip(paths, answers, strict=True)]
        return {"line": np.array(lines, dtype=object)}

    def one(self, image: str | bytes) -> capsedge.Prediction | capsedge.Broken:
        """Classify one image of a batch that holds a broken one."""
        try:
            return self.model.predict(image, invert="no")
        except capsedge.CapsedgeError as error:
            return capsedge.Broken(path="", error=str(error))

    def line(self, path: str, answer: capsedge.Prediction | capsedge.Broken) -> str:
        """An answer as JSON, with the path of its image."""
        return msgspec.json.encode(msgspec.structs.replace(answer, path=path)).decode()


def main() -> None:
    """Read the command line, and write the answers."""
    parser = argparse.ArgumentParser(description="Classify many images with Ray Data.")
    parser.add_argument("images", type=Path, help="a folder of images, or Parquet with the columns path and bytes")
    parser.add_argument("output", type=Path, help="JSON lines to write")
    parser.add_argument("--model", default="builtin", help="an .onnx file, or a model's name (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=2, help="0: in this process, without Ray (default: %(default)s)"
    )
    parser.add_argument("--address", help="of a running Ray cluster, such as auto (default: Ray on this machine)")
    asked = parser.parse_args()
    if asked.workers == 0:
        written = in_this_process(asked.images, Classifier(asked.model))
    else:
        written = in_ray(asked.images, asked.model, workers=asked.workers, address=asked.address)
    count = 0
    with asked.output.open("w", encoding="utf-8") as output:
        for line in written:
            output.write(f"{line}\n")
            count += 1
    print(f"{count:,} images: {asked.output}")


def in_ray(
    images: Path, model: str, *, workers: int, address: str | None = None, worker: type[Classifier] = Classifier
) -> Iterator[str]:
    """The lines of all images, in their order, by workers of Ray.

    Args:
        images: See the module.
        model: See `Classifier`.
        workers: Number of processes.
        address: Address of a cluster; None to start Ray on this machine.
        worker: The class of a worker.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    # On this machine more processors than workers, as Ray counts them: the tasks that list and read need some, too.
    ray.init(address=address, num_cpus=None if address else workers + 2, log_to_driver=False)
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = sys.stderr.isatty()
    rows = ray.data.from_items([{"path": path} for path in paths(images)]) if folder(images) else parquet(images)
    answered = rows.map_batches(
        worker,
        fn_constructor_args=(model,),
        batch_size=BATCH,
        num_cpus=1,
        compute=ActorPoolStrategy(size=workers),
    )
    for row in answered.iter_rows():
        yield row["line"]


def in_this_process(images: Path, worker: Classifier) -> Iterator[str]:
    """The same lines, without Ray."""
    for batch in batches(images):
        yield from worker(batch)["line"]


def batches(images: Path) -> Iterator[Batch]:
    """The images in batches of one process."""
    if folder(images):
        found = np.array(paths(images), dtype=object)
        for start in range(0, len(found), BATCH):
            yield {"path": found[start : start + BATCH]}
        return
    from pyarrow.dataset import dataset

    for part in dataset(images).to_batches(columns=["path", "bytes"], batch_size=BATCH):
        yield {name: np.array(part[name].to_pylist(), dtype=object) for name in ("path", "bytes")}


def parquet(images: Path) -> Any:
    """The rows of Parquet as a data set of Ray."""
    import ray

    return ray.data.read_parquet(str(images)).select_columns(["path", "bytes"])


def folder(images: Path) -> bool:
    """Whether a path is a folder of image files, and not Parquet."""
    return images.is_dir() and not any(images.glob("*.parquet"))


def paths(images: Path) -> list[str]:
    """The images of a folder, sorted, without hidden files."""
    found = (path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(str(path) for path in found if not is_hidden(path.relative_to(images)))


if __name__ == "__main__":
    main()
