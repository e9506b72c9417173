"""Every reader of files that come from somebody else, and small whole files that it reads.

A reader may refuse an input by a `CapsedgeError`; any other exception, a crash, too much time or memory is a defect.
"""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from capsedge.errors import CapsedgeError

if TYPE_CHECKING:
    from capsedge.models import CapsNet

ROOT = Path(__file__).parents[2]
BUILTIN = ROOT / "capsedge" / "builtin" / "fashion-mnist.onnx"
NANO = ROOT / "zoo" / "edge-nano"
RECIPES = ROOT / "capsedge" / "recipes"


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        name: Name on the command line and of its folder in the corpus.
        seeds: Makes whole files.
        read: Reads a content; files that it needs go into the folder.
        seconds: Longest time of the processor for one input.
        memory_mib: Most memory for one input, beyond what the process had before.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[bytes, Path], object]
    seconds: float = 5.0
    memory_mib: int = 1024


def accepts(reader: Reader, content: bytes, folder: Path) -> bool:
    """Read a content.

    Returns:
        False where it was refused as a user's mistake; any other exception of the reader passes through.
    """
    try:
        reader.read(content, folder)
    except CapsedgeError as error:
        if not str(error).strip():
            raise AssertionError(f"{reader.name} refuses without a word") from error
        return False
    return True


def _file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# Images


def _images() -> list[bytes]:
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 256, (21, 17), np.uint8))
    colour = Image.fromarray(rng.integers(0, 256, (17, 21, 3), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (9, 11), np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6

    def saved(image: Image.Image, form: str, **options: object) -> bytes:
        target = io.BytesIO()
        image.save(target, form, **options)
        return target.getvalue()

    return [
        *(saved(each, "PNG") for each in (grey, colour, deep, grey.convert("1"), colour.convert("P"))),
        saved(colour.convert("RGBA"), "PNG"),
        saved(grey.convert("LA"), "PNG", exif=exif),
        saved(colour, "JPEG", exif=exif),
        saved(colour.convert("CMYK"), "JPEG"),
        saved(grey, "JPEG", progressive=True),
        *(saved(each, "TIFF") for each in (grey, colour, deep)),
        saved(grey, "TIFF", compression="tiff_lzw", exif=exif),
        saved(colour.convert("P"), "GIF", save_all=True, append_images=[colour.convert("P")]),
        saved(colour, "BMP"),
        saved(colour, "WEBP"),
        saved(grey, "PPM"),
        saved(deep, "PPM"),
    ]


def _read_image(content: bytes, folder: Path) -> None:
    """Read by bytes and by path, which must agree, then everything that is asked of an image."""
    from capsedge.data.images.background import background_of, glance
    from capsedge.data.images.decode import header, read_image
    from capsedge.data.images.fit import fit_image
    from capsedge.fit import Fit

    path = _file(folder, "image.png", content)
    image = _or_refusal(lambda: read_image(content, name="image.png"))
    beside = _or_refusal(lambda: read_image(path))
    if isinstance(image, Image.Image) and isinstance(beside, Image.Image):
        assert image.mode == beside.mode
        assert image.tobytes() == beside.tobytes()
    else:
        assert type(image) is type(beside), (image, beside)
    header(path)
    if isinstance(image, CapsedgeError):
        raise image
    background_of(image)
    glance(image)
    for fit in (Fit(), Fit(frame="figure", levels="full")):
        fit_image(image, (28, 28, 1), fit)


def _or_refusal(read: Callable[[], Image.Image]) -> Image.Image | CapsedgeError:
    try:
        return read()
    except CapsedgeError as error:
        return error


# Data sets


def _idx_files() -> list[bytes]:
    from capsedge.data.idx import write_idx

    rng = np.random.default_rng(1)
    seeds = []
    for values in (rng.integers(0, 256, (5, 4, 3), np.uint8), np.arange(5, dtype=np.uint8)):
        path = Path(_scratch()) / "seed-idx-ubyte"
        write_idx(path, values)
        content = path.read_bytes()
        seeds += [content, gzip.compress(content, mtime=0)]
    return seeds


def _read_idx(content: bytes, folder: Path) -> None:
    from capsedge.data.idx import read_idx

    read_idx(_file(folder, "train-images-idx3-ubyte", content))
    read_idx(_file(folder, "train-images-idx3-ubyte.gz", content))


def _pickles() -> list[bytes]:
    """As Python 2 wrote CIFAR-10's batches, by hand: protocol 2, an array of numpy by its constructor."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01K\x02M\x00\x0c\x86"
        b"cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T\x00\x18\x00\x00" + bytes(6144) + b"tb"
    )
    batch = b"\x80\x02}q\x00(U\x04data" + array + b"U\x06labels]q\x06(K\x00K\x01eU\x0bbatch_labelU\x01au."
    return [batch, b"\x80\x02}q\x00(U\x0blabel_names]q\x01(U\x08airplaneU\x05truckeu."]


def _read_pickle(content: bytes, folder: Path) -> None:
    from capsedge.data.plain_pickle import read_plain_pickle

    read_plain_pickle(content, "'data_batch_1'")


def _tars() -> list[bytes]:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name in ("batches.meta.txt", *(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
            content = b"airplane\ntruck\n" if name.endswith(".txt") else bytes([1, *bytes(3072)]) * 2
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return [target.getvalue()]


def _read_cifar(content: bytes, folder: Path) -> None:
    """The archive is compressed after it was damaged: otherwise gzip's check would end most tries."""
    from capsedge.data.cifar import find_cifar, load_cifar

    path = _file(folder, "cifar-10-binary.tar.gz", gzip.compress(content, 1, mtime=0))
    if found := find_cifar(path):
        load_cifar(found)


def _arrays() -> list[bytes]:
    rng = np.random.default_rng(2)
    seeds = []
    images = rng.integers(0, 256, (6, 9, 8), np.uint8)
    for content in (
        {"x_train": images, "y_train": np.arange(6) % 2, "x_test": images, "y_test": np.arange(6) % 2},
        {"images": images, "labels": np.array(["shoe", "bag"] * 3), "classes": np.array(["bag", "shoe"])},
        {"x": images[..., None], "y": (np.arange(6) % 3)[:, None], "other": np.zeros(3)},
    ):
        target = io.BytesIO()
        np.savez(target, **content)  # type: ignore[arg-type]
        seeds.append(target.getvalue())
    return seeds


def _read_arrays(content: bytes, folder: Path) -> None:
    from capsedge.data.arrays import read_arrays

    read_arrays(_file(folder, "data.npz", content))


def _members() -> list[bytes]:
    seeds = []
    for values in (np.arange(60, dtype=np.uint8).reshape(3, 5, 4), np.arange(3), np.array(["a", "b", "a"])):
        target = io.BytesIO()
        np.save(target, values)
        seeds.append(target.getvalue())
    return seeds


def _read_members(content: bytes, folder: Path) -> None:
    """A damaged array in a whole archive, as the images and as the labels."""
    from capsedge.data.arrays import read_arrays

    images, labels, _ = _members()
    refused = []
    for x, y in ((content, labels), (images, content)):
        path = folder / "data.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", x)
            archive.writestr("y.npy", y)
        try:
            read_arrays(path)
        except CapsedgeError as error:
            refused.append(error)
    if len(refused) == 2:
        raise refused[0]


def _or_none(read: Callable[[], object]) -> None:
    try:
        read()
    except CapsedgeError:
        return


def _lists() -> list[bytes]:
    return [
        b"path,label\na.png,shoe\nb.png,bag\n",
        b"file_name,label,split\r\na.png,shoe,train\r\nb.png,bag,test\r\n",
        "\ufefffilename;class\na.png;Schuh\nb.png;Tüte\n".encode(),
        b'image,label,part\n"a.png","a ""good"" shoe",validation\n',
    ]


def _read_list(content: bytes, folder: Path) -> None:
    from capsedge.data.listing import list_labelled

    for name in ("a.png", "b.png"):
        if not (folder / name).exists():
            Image.new("L", (4, 4)).save(folder / name)
    list_labelled(_file(folder, "labels.csv", content))


def _archives() -> list[bytes]:
    picture, seeds = _images()[0], []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", method) as archive:
            archive.writestr("shoes/1.png", picture)
            archive.writestr("tüten/2.png", picture)
            archive.writestr("notes.txt", "none")
        seeds.append(target.getvalue())
    return seeds


def _read_archive(content: bytes, folder: Path) -> None:
    from capsedge.runtime.infer.sources.archive import images_in

    for source in images_in(_file(folder, "images.zip", content)):
        _or_none(source.read)


# Models and what stands beside them


def _models() -> list[bytes]:
    from tests.onnx_lite.test_file import a_model

    small = a_model()
    del small.metadata_props[:]
    return [small.SerializeToString(), BUILTIN.read_bytes(), (NANO / "model.int8.onnx").read_bytes()]


def _read_model(content: bytes, folder: Path) -> None:
    from capsedge.contract import contract_of, seal_holds
    from capsedge.golden import unpack_images
    from capsedge.onnx_lite.file import read_metadata, read_onnx_file
    from capsedge.onnx_lite.graph import read_graph

    path = _file(folder, "model.onnx", content)
    for read in (read_metadata, read_graph):
        _or_none(lambda: read(path))  # noqa: B023 called at once
    file = read_onnx_file(path)
    if contract := contract_of(file, source="model.onnx"):
        seal_holds(file)
        if contract.golden:
            unpack_images(contract.golden, contract.input.shape)


def _read_inspected(content: bytes, folder: Path) -> None:
    from capsedge.runtime.inspection import inspect_model

    inspect_model(_file(folder, "model.onnx", content))


def _read_linted(content: bytes, folder: Path) -> None:
    from capsedge.export.tensorrt.lint import lint

    lint(_file(folder, "model.onnx", content), ("sm87",))


def _small_models() -> list[bytes]:
    """Without the shipped networks: onnx's checker takes longer for those."""
    return _models()[:1]


@cache
def _contracts() -> list[bytes]:
    from capsedge.onnx_lite.file import read_metadata

    return [
        read_metadata(file)["capsedge.contract"].encode()
        for file in (BUILTIN, NANO / "model.int8.onnx", NANO / "model.onnx")
    ]


def _read_contract(content: bytes, folder: Path) -> None:
    from capsedge.contract import Contract, decode
    from capsedge.golden import unpack_images

    contract = decode(content, Contract, source="model.onnx")
    if contract.golden:
        unpack_images(contract.golden, contract.input.shape)


# Recipes, runs and reports


def _recipes() -> list[bytes]:
    parts = (file.read_bytes() for file in sorted(RECIPES.glob("*/*.toml")))
    return [
        (NANO / "recipe.toml").read_bytes(),
        b'extends = "edge-nano"\n[train]\nepochs = 2\n',
        *(each for each in parts if b"extends" not in each),
    ]


def _read_recipe(content: bytes, folder: Path) -> None:
    from capsedge.recipe import load_recipe

    load_recipe(str(_file(folder, "mine.toml", content)))


def _overrides() -> list[bytes]:
    return [
        b"train.epochs=3", b"network.hidden=[[8, 4]]", b'data.source="photos"', b"routing.learning_rate=1e-3",
        b"network.decoder=[16, 32]", b"train.schedule=cosine", b"data.flip=true", b"train.teachers=['a']",
    ]  # fmt: skip


def _read_override(content: bytes, folder: Path) -> None:
    from capsedge.recipe import load_recipe

    load_recipe("fashion-mnist-l2-small", [content.decode(errors="surrogateescape")])


def _records() -> list[bytes]:
    return [(NANO / "run.json").read_bytes()]


def _read_record(content: bytes, folder: Path) -> None:
    from capsedge.training import Run

    _file(folder, "run.json", content)
    Run(folder).read_record()


def _metrics() -> list[bytes]:
    lines = (NANO / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    return [b"".join(lines[:8]), b"".join(lines[-8:])]


def _read_metrics(content: bytes, folder: Path) -> None:
    from capsedge.training.metrics import read_metrics

    read_metrics(_file(folder, "metrics.jsonl", content))


@cache
def _tiny_network() -> "CapsNet":
    from capsedge.models import build_network
    from tests.tiny import tiny_recipe

    return build_network(tiny_recipe(), classes=10, shape=(28, 28, 1))


def _weights() -> list[bytes]:
    from capsedge.training.checkpoint import save_weights

    path = Path(_scratch()) / "seed.safetensors"
    save_weights(path, _tiny_network())
    return [path.read_bytes()]


def _read_weights(content: bytes, folder: Path) -> None:
    from capsedge.training.checkpoint import load_network

    load_network(_file(folder, "best.safetensors", content), _tiny_network())


def _reports() -> list[bytes]:
    from capsedge.measure.bench.files import save
    from tests.measure.bench.reports import case, group, report

    path = Path(_scratch()) / "seed.json"
    save(report(group(case("a", [[2.0, 2.1, 1.9]] * 4), case("b", [[1.0, 1.1, 0.9]] * 4))), path)
    return [path.read_bytes()]


def _read_report(content: bytes, folder: Path) -> None:
    """A report that is accepted can also be shown."""
    from capsedge.measure.bench.files import load, save

    report = load(_file(folder, "report.json", content))
    for name in ("shown.md", "shown.csv", "shown.json"):
        save(report, folder / name)


def _manifests() -> list[bytes]:
    from capsedge.contract import Contract, EngineManifest, decode, encode

    made = EngineManifest(
        engine_sha256="0" * 64,
        package="tensorrt_rtx",
        package_version="1.7.0.28",
        targets=("8.7",),
        batch=(1, 1, 8),
        build_seconds=1.5,
        size_bytes=1000,
        precision={"conv": "int8"},
        contract=decode(_contracts()[0], Contract, source="seed"),
    )
    return [encode(made).encode()]


def _read_manifest(content: bytes, folder: Path) -> None:
    from capsedge.runtime.tensorrt.manifest import read_manifest

    engine = _file(folder, "model.engine", b"")
    _file(folder, "model.engine.json", content)
    read_manifest(engine)


_folder: list[str] = []


def _scratch() -> str:
    """A folder for seeds that a writer makes as a file."""
    import tempfile

    if not _folder:
        _folder.append(tempfile.mkdtemp(prefix="capsedge-seeds-"))
    return _folder[0]


READERS = (
    Reader("image", _images, _read_image, memory_mib=2048),
    Reader("idx", _idx_files, _read_idx),
    Reader("pickle", _pickles, _read_pickle),
    Reader("cifar-tar", _tars, _read_cifar),
    Reader("npz", _arrays, _read_arrays),
    Reader("npz-array", _members, _read_members),
    Reader("list", _lists, _read_list),
    Reader("zip", _archives, _read_archive),
    Reader("onnx", _models, _read_model),
    Reader("inspect", _models, _read_inspected),
    Reader("lint", _small_models, _read_linted),
    Reader("contract", _contracts, _read_contract),
    Reader("manifest", _manifests, _read_manifest),
    Reader("recipe", _recipes, _read_recipe),
    Reader("override", _overrides, _read_override),
    Reader("run-record", _records, _read_record),
    Reader("metrics", _metrics, _read_metrics),
    Reader("weights", _weights, _read_weights),
    Reader("bench-report", _reports, _read_report),
)
