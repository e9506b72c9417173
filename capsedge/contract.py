"""What an exported model promises: the one record that export/ writes and runtime/ reads.

It travels inside an ONNX file (`metadata_props`, key `capsedge.contract`, sealed by `capsedge.contract.sha256`) and
beside an engine (`<engine>.json`). Everything that inference needs is in it, so one file is enough to deploy.
"""

import hashlib
from typing import Annotated, Literal, NamedTuple, TypeVar, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from capsedge.errors import ModelError
from capsedge.fit import Fit
from capsedge.onnx_lite.file import OnnxFile
from capsedge.processor import Processor
from capsedge.records import DamagedRecord, decoded
from capsedge.scoring import longest
from capsedge.statistics import Difference

SCHEMA_VERSION = 3
PAIR_LIMIT = 2**15 - 1
METADATA_KEY = "capsedge.contract"
SEAL_KEY = "capsedge.contract.sha256"

VerdictStatus = Literal["accepted", "rejected", "not executed here"]
Precision = Literal["fp32", "fp16", "bf16", "int8", "int8+fp16", "fp8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Input(msgspec.Struct, frozen=True):
    """The model's only input: a batch of uint8 images in NHWC order; normalization is inside the graph.

    Attributes:
        height: In pixels.
        width: In pixels.
        channels: 1 is grey, 3 is RGB.
        name: Of the graph's input.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    name: str = "image"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return self.height, self.width, self.channels


class Score(msgspec.Struct, frozen=True):
    """The error rate of one stage of the export on one split.

    Attributes:
        stage: `trained` (the network in torch), or the precision of the exported file.
        split: `validation` or `test`.
        images: How many images were scored.
        error: Share of wrong answers, 0 to 1 (`capsedge.scoring`).
    """

    stage: str
    split: Literal["validation", "test"]
    images: int
    error: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate measured between the trained network and an exported file, on the validation images.

    Attributes:
        status: `accepted`, `rejected`, or `not executed here` (an engine without its GPU, or a type that this machine
            cannot compute in).
        provider: Execution provider that ran the file, or "" where it was not run.
        processor: Instruction sets of the processor that ran the file, and what they mean for its types; None where
            they are not known, it was not run, or a GPU ran it.
        images: Labelled validation images that both networks saw.
        largest_length_difference: Over all images, classes and batch sizes; None where a length is not a number.
        mean_length_difference: Mean of the absolute differences, over the images and classes.
        largest_pose_difference: Of a component of a class capsule, over all images and batch sizes.
        difference_between_batches: Largest difference of a length that the file itself gives one image in a small
            batch and in its largest.
        top1_agreement: Share of images with the same answer, 0 to 1: the same first class, or where an image shows
            several (`Contract.labels`) the same set of so many first classes.
        error: The file's error rate, 0 to 1.
        error_change: That less the trained network's error on the same images, with its 95 % interval.
        largest_reconstruction_difference: Over the pixels of 0 to 1, where the file has a decoder.
        limits: The limits that it was held to, by name.
        reasons: One sentence for each limit that was broken.
        starts_at: The node where the difference starts, in words; "" where nothing was rejected.
        remarks: What else should be known, such as how the figures were taken where the file itself cannot run.
    """

    status: VerdictStatus
    provider: str = ""
    processor: Processor | None = None
    images: int = 0
    largest_length_difference: float | None = None
    mean_length_difference: float | None = None
    largest_pose_difference: float | None = None
    difference_between_batches: float | None = None
    top1_agreement: float | None = None
    error: float | None = None
    error_change: Difference | None = None
    largest_reconstruction_difference: float | None = None
    limits: dict[str, float] = {}
    reasons: tuple[str, ...] = ()
    starts_at: str = ""
    remarks: tuple[str, ...] = ()


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One convolution or matrix product of an exported graph, as it was read back from the file.

    Attributes:
        name: Its weight's name, or its own where it multiplies two activations.
        op: `Conv`, `Gemm` or `MatMul`.
        type: The type it multiplies in: the wider one of its two operands, such as `fp32`, `fp16` or `int8`.
        output: The type of its result.
        flops: Floating-point (or integer) operations for one image, a multiplication and an addition counted as two.
        parameters: Numbers in its weight.
    """

    name: str
    op: str
    type: str
    output: str
    flops: int
    parameters: int


def width(kind: str) -> int:
    """The place of a type among those that are known, the widest first; others come before them all."""
    known = ("fp32", "bf16", "fp16", "fp8", "int8")
    return known.index(kind) if kind in known else -1


class Int8Pairs(msgspec.Struct, frozen=True, kw_only=True):
    """The largest sum of two products of an int8 layer, proved from its weights (`capsedge.runtime.int8_pairs`).

    x86 processors without VNNI add such pairs in 16 bits, which saturate beyond `PAIR_LIMIT`: where no pair reaches
    it, every processor computes the same integers.

    Attributes:
        largest: Largest magnitude of the sum of any two products of one output, for any activations.
        weight: Name of the weight that it is of; the layer's own name where it multiplies two activations.
    """

    largest: int
    weight: str

    @property
    def fit(self) -> bool:
        """Whether no sum of two products leaves 16 bits."""
        return self.largest <= PAIR_LIMIT


class TypeShare(NamedTuple):
    """How much of a network computes in one type: shares of 0 to 1."""

    layers: float
    flops: float


class Golden(msgspec.Struct, frozen=True):
    """Real images with the lengths that they shall get: `capsedge verify` replays them on the target.

    Attributes:
        images: uint8 [count, height, width, channels], deflated, base64.
        labels: The true class of each image, or its classes where it shows several.
        lengths: Capsule lengths [count, classes]: of the trained network for a file in fp32; of the file itself, as
            it ran when it was gated, in lower precision.
        tolerance: Largest accepted absolute difference of a length.
    """

    images: str
    labels: tuple[int | tuple[int, ...], ...]
    lengths: tuple[tuple[float, ...], ...]
    tolerance: float


class Calibration(msgspec.Struct, frozen=True):
    """How the ranges of a quantized file were found.

    Attributes:
        method: `min-max`, `percentile 99.9` or another of `capsedge.export.precision.METHODS`.
        images: How many training images they were found on.
    """

    method: str
    images: int

    @property
    def text(self) -> str:
        """The record in words."""
        return f"{self.method} of {self.images:,} training images"


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """What is usual of the images that the network was trained on (`capsedge.runtime.infer.usual`).

    Attributes:
        mean: Of each figure of an image.
        scale: What each figure's distance from its mean is divided by.
        inverse: Of the covariance of the figures so scaled.
        limit: Largest squared Mahalanobis distance that is still usual.
        shortest: Shortest length of the longest capsule that is still usual.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    inverse: tuple[tuple[float, ...], ...]
    limit: float
    shortest: float


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The promises of one exported model.

    Attributes:
        name: Name for people, such as the run's.
        classes: Class names in the order of the outputs.
        labels: Classes that are present in each image: so many of the longest capsules are the answer.
        input: What the model takes.
        batch: Images that each run must have; None where any number runs. An engine's manifest has its own limits.
        fit: How other images become that.
        dark_background: Whether it was trained on light things on a dark background, so that `infer` exchanges light
            and dark where an image shows the opposite; None in a file of an earlier capsedge: the golden sample
            tells.
        recipe: Name of the recipe that trained it.
        routing: Routing kind it was trained with.
        collapsed: Whether the routing is folded into constant weights.
        layers: Type and size of each layer, read back from the file.
        outputs: Names of the outputs: `lengths`, `poses`, and `reconstruction` where the decoder is in the file.
        shapes: The axes of each output after the batch, by its name, read back from the file.
        calibration: How the ranges of a quantized file were found; None where nothing is quantized.
        int8_pairs: Proof that its int8 layers give the same on every processor; None where it has none, or was
            exported by an earlier capsedge.
        scores: Error rates before and after each step.
        verdict: What the gate found, or None before the gate ran.
        golden: Sample that `verify` replays.
        usual: What the images of the training are like; None where an earlier capsedge exported it.
        graph_sha256: Hash of the file without its metadata (`OnnxFile.graph_sha256`).
        weights_sha256: Hash of each weight (`OnnxFile.weights_sha256`).
        versions: Versions of the tools that made it.
        dataset: Title of the data set that it was trained on, such as `Fashion-MNIST`.
        data: The data set in words, with its number of images.
    """

    schema: int = SCHEMA_VERSION
    name: str
    classes: tuple[str, ...]
    labels: Annotated[int, msgspec.Meta(ge=1)] = 1
    input: Input
    batch: int | None = None
    fit: Fit
    dark_background: bool | None = None
    recipe: str
    routing: str
    collapsed: bool
    layers: Annotated[tuple[Layer, ...], msgspec.Meta(min_length=1)]
    outputs: tuple[str, ...] = ("lengths", "poses")
    shapes: dict[str, tuple[int, ...]] = {}
    calibration: Calibration | None = None
    int8_pairs: Int8Pairs | None = None
    scores: tuple[Score, ...] = ()
    verdict: Verdict | None = None
    golden: Golden
    usual: Usual | None = None
    graph_sha256: str
    weights_sha256: dict[str, str]
    versions: dict[str, str]
    dataset: str
    data: str

    @property
    def precision(self) -> str:
        """The narrowest type that a layer with weights computes in, as read from the file; see `shares` too."""
        weighted = [layer for layer in self.layers if layer.parameters] or self.layers
        narrowest = max((layer.type for layer in weighted), key=width)
        outputs = {layer.output for layer in weighted if layer.type == narrowest}
        return f"{narrowest}+fp16" if narrowest == "int8" and outputs == {"fp16"} else narrowest

    @property
    def shares(self) -> dict[str, TypeShare]:
        """How many of the layers, and of their FLOPs, are computed in each type; largest share of FLOPs first."""
        count = len(self.layers)
        kinds = {layer.type: [each for each in self.layers if each.type == layer.type] for layer in self.layers}
        shares = {
            kind: TypeShare(len(mine) / count, sum(layer.flops for layer in mine) / (self.flops or 1))
            for kind, mine in kinds.items()
        }
        return dict(sorted(shares.items(), key=lambda item: -item[1].flops))

    @property
    def flops(self) -> int:
        """Operations of all layers for one image."""
        return sum(layer.flops for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Numbers in the weights of all layers, without their biases; a weight that two layers share counts once."""
        return sum({layer.name: layer.parameters for layer in self.layers}.values())

    def answer(self, lengths: NDArray[np.floating]) -> NDArray[np.intp]:
        """The classes of the longest capsules.

        Args:
            lengths: [images, classes].

        Returns:
            [images, labels], longest first; of two capsules of one length the first class wins, as argmax has it.
        """
        return longest(lengths, self.labels)


class EngineManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The record beside a TensorRT engine (`<engine>.json`): the model's contract and what the engine needs.

    Attributes:
        engine_sha256: Hash of the engine file; "" where somebody else builds it.
        package: `tensorrt_rtx` or `tensorrt`.
        package_version: Release that built it, no other release can load it; "" where that is not known.
        targets: Compute capabilities that it was built for: of the GPU that built it in the case of `tensorrt`; empty
            means the default of `tensorrt_rtx`, 8.0 and later.
        gpu: Name of the GPU that built it; "" where it was built without one.
        platform: Operating system and architecture that built it, which `tensorrt` binds an engine to.
        batch: Smallest, optimal and largest batch of the optimization profile.
        workspace_mb: Limit of the memory for intermediate results, in MiB; None for all that there is.
        hardware_compatible: Whether a `tensorrt` engine runs on other GPUs too, from Ampere (8.0) on.
        deferred: Where the engine could not be built: the command that builds it on its target machine.
        warnings: What TensorRT read otherwise than the file says it, and what else should be known.
        build_seconds: Time of parsing and building.
        size_bytes: Size of the engine.
        precision: Type of each layer as the parser saw it.
        contract: The contract of the ONNX file that it was built from, with the engine's own verdict.
    """

    schema: int = SCHEMA_VERSION
    engine_sha256: str
    package: Literal["tensorrt_rtx", "tensorrt"]
    package_version: str
    targets: tuple[str, ...]
    gpu: str = ""
    platform: str = ""
    batch: tuple[int, int, int]
    workspace_mb: int | None = None
    hardware_compatible: bool = False
    deferred: str = ""
    warnings: tuple[str, ...] = ()
    build_seconds: float
    size_bytes: int
    precision: dict[str, str]
    contract: Contract


Record = TypeVar("Record", Contract, EngineManifest)


def encode(record: Contract | EngineManifest) -> str:
    """Write a record as JSON; the same record always gives the same text."""
    return msgspec.json.encode(record, order="sorted").decode()


def decode(text: str | bytes, kind: type[Record], *, source: str) -> Record:
    """Read a record that `encode` wrote.

    Args:
        text: JSON.
        kind: `Contract` or `EngineManifest`.
        source: Where the text came from, for the error.

    Raises:
        ModelError: The text is damaged, or was written by a newer or older capsedge.
    """
    try:
        schema = decoded(text, _Schema).schema
        if schema != SCHEMA_VERSION:
            way_out = "upgrade capsedge" if schema > SCHEMA_VERSION else "export it again"
            raise ModelError(
                f"'{source}' has a contract of schema {schema}, this capsedge reads {SCHEMA_VERSION}: {way_out}"
            )
        return decoded(text, kind)
    except DamagedRecord as error:
        raise ModelError(f"'{source}' has a damaged contract ({error}); export it again") from error


def sealed(contract: Contract) -> dict[str, str]:
    """The metadata of an ONNX file: the contract, and the hash by which a later change of it is noticed."""
    text = encode(contract)
    return {METADATA_KEY: text, SEAL_KEY: hashlib.sha256(text.encode()).hexdigest()}


def seal_holds(file: OnnxFile) -> bool:
    """Whether the contract in a file is, byte for byte, the one that was sealed."""
    return hashlib.sha256(file.metadata.get(METADATA_KEY, "").encode()).hexdigest() == file.metadata.get(SEAL_KEY)


def contract_of(file: OnnxFile, *, source: str) -> Contract | None:
    """Read the contract out of an ONNX file's metadata, or None where somebody else made the file.

    Raises:
        ModelError: The contract is damaged or newer than this capsedge.
    """
    text = file.metadata.get(METADATA_KEY)
    return None if text is None else decode(text, Contract, source=source)


class _Schema(msgspec.Struct):
    schema: int
