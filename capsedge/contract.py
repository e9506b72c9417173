"""The contract of an exported model: the record that export/ writes and runtime/ reads.

It is stored in the ONNX file (`metadata_props`, key `capsedge.contract`, hashed in `capsedge.contract.sha256`) and
beside an engine (`<engine>.json`). It has everything that inference needs, so one file is enough to deploy.
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
        height: Height in pixels.
        width: Width in pixels.
        channels: 1 for grey, 3 for RGB.
        name: Name of the graph's input.
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
        images: Number of images.
        error: Share of wrong answers, 0 to 1 (`capsedge.scoring`).
    """

    stage: str
    split: Literal["validation", "test"]
    images: int
    error: float


class FailedTraining(msgspec.Struct, frozen=True, kw_only=True):
    """A reason not to use the trained network itself, which a comparison with it does not show.

    Attributes:
        code: `same-lengths`: every image gets the same lengths; `at-chance`: the validation error is no lower than
            that of random answers.
        text: The reason in words, with what to do.
        error: The network's validation error, 0 to 1.
        chance: Error of random answers, 0 to 1.
    """

    code: Literal["same-lengths", "at-chance"]
    text: str
    error: float
    chance: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's comparison of an exported file with the trained network, on the validation images.

    Attributes:
        status: `accepted`, `rejected`, or `not executed here` (an engine without its GPU, or a type that this machine
            cannot compute in).
        provider: Execution provider that ran the file; "" if it was not run.
        processor: Instruction sets of the processor that ran the file, and what they mean for its types; None if they
            are unknown, the file was not run, or a GPU ran it.
        images: Number of labelled validation images.
        largest_length_difference: Largest absolute difference of a length over all images, classes and batch sizes;
            None if a length is NaN or infinite.
        mean_length_difference: Mean absolute difference of the lengths over the images and classes.
        largest_pose_difference: Largest absolute difference of a component of a class capsule over all images and
            batch sizes.
        difference_between_batches: Largest difference between the file's lengths of one image in a small batch and in
            its largest batch.
        top1_agreement: Share of images with the same answer, 0 to 1: the same first class, or where an image shows
            several (`Contract.labels`) the same set of so many first classes.
        error: The file's error rate, 0 to 1.
        error_change: The file's error less the trained network's on the same images, with its 95 % interval.
        largest_reconstruction_difference: Largest difference of a pixel (0 to 1); None if the file has no decoder.
        limits: The limits of the figures, by name.
        reasons: One sentence for each limit that was exceeded.
        starts_at: Description of the node where the difference starts; "" if the file was not rejected.
        failed_training: Why the trained network itself is useless; None if it is not, and in files of an earlier
            capsedge, where a remark says it.
        remarks: Further remarks, such as how the figures were measured if the file cannot run here.
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
    failed_training: FailedTraining | None = None
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know beside the figures: the failed training and the remarks."""
        return (*((self.failed_training.text,) if self.failed_training else ()), *self.remarks)


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One convolution or matrix product of an exported graph, read back from the file.

    Attributes:
        name: Name of the weight, or of the node if it multiplies two activations.
        op: `Conv`, `Gemm` or `MatMul`.
        type: Type of the multiplication, the wider one of the two operands, such as `fp32`, `fp16` or `int8`.
        output: Type of the result.
        flops: Floating-point (or integer) operations for one image; a multiplication and an addition count as two.
        parameters: Number of elements of the weight.
    """

    name: str
    op: str
    type: str
    output: str
    flops: int
    parameters: int


def width(kind: str) -> int:
    """Rank of a type by width, the widest first; unknown types rank before all others."""
    known = ("fp32", "bf16", "fp16", "fp8", "int8")
    return known.index(kind) if kind in known else -1


class Int8Pairs(msgspec.Struct, frozen=True, kw_only=True):
    """The largest sum of two products of an int8 layer, proved from its weights (`capsedge.runtime.int8_pairs`).

    x86 processors without VNNI add such pairs in 16 bits, which saturate beyond `PAIR_LIMIT`. If no pair exceeds it,
    every processor computes the same integers.

    Attributes:
        largest: Largest magnitude of the sum of any two products of one output, for any activations.
        weight: Name of the weight with this sum, or of the layer if it multiplies two activations.
    """

    largest: int
    weight: str

    @property
    def fit(self) -> bool:
        """Whether no sum of two products leaves 16 bits."""
        return self.largest <= PAIR_LIMIT


class TypeShare(NamedTuple):
    """The share of a network that computes in one type, 0 to 1: of its layers and of its FLOPs."""

    layers: float
    flops: float


class Golden(msgspec.Struct, frozen=True):
    """Real images with their expected lengths: `capsedge verify` replays them on the target.

    Attributes:
        images: uint8 [count, height, width, channels], deflated, base64.
        labels: The true class of each image, or its classes if it shows several.
        lengths: Expected lengths [count, classes]: in fp32 those of the trained network, in lower precision those of
            the file when it was gated.
        tolerance: Largest accepted absolute difference of a length.
    """

    images: str
    labels: tuple[int | tuple[int, ...], ...]
    lengths: tuple[tuple[float, ...], ...]
    tolerance: float


class Calibration(msgspec.Struct, frozen=True):
    """The calibration of a quantized file's ranges.

    Attributes:
        method: `min-max`, `percentile 99.9` or another of `capsedge.export.precision.METHODS`.
        images: Number of training images.
    """

    method: str
    images: int

    @property
    def text(self) -> str:
        """Description of the calibration."""
        return f"{self.method} of {self.images:,} training images"


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of the training images, to detect unusual images (`capsedge.runtime.infer.usual`).

    Attributes:
        mean: Mean of each figure of an image.
        scale: Scale of each figure, by which its distance from the mean is divided.
        inverse: Inverse of the covariance of the scaled figures.
        limit: Largest squared Mahalanobis distance of a usual image.
        shortest: Shortest length of the longest capsule of a usual image.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    inverse: tuple[tuple[float, ...], ...]
    limit: float
    shortest: float


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The contract of one exported model.

    Attributes:
        name: Name of the model, such as the run's.
        classes: Class names in the order of the outputs.
        labels: Number of classes in each image; the answer is this many of the longest capsules.
        input: The model's input.
        batch: Fixed batch of each run; None for a free batch. An engine's manifest has its own limits.
        fit: How an image of another size or colour is converted to the input.
        dark_background: Whether the training images show light objects on a dark background, so that `infer`
            exchanges light and dark of an image that shows the opposite; None in a file of an earlier capsedge, for
            which the golden sample is used.
        recipe: Name of the training recipe.
        routing: Routing kind of the training.
        collapsed: Whether the routing is folded into constant weights.
        layers: Type and size of each layer, read back from the file.
        outputs: Names of the outputs: `lengths`, `poses`, and `reconstruction` if the file has the decoder.
        shapes: The axes of each output after the batch, by output name, read back from the file.
        calibration: Calibration of a quantized file; None if nothing is quantized.
        int8_pairs: Proof that the int8 layers give the same results on every processor; None if there are none, or in
            a file of an earlier capsedge.
        scores: Error rates of the trained network and of the file.
        verdict: Verdict of the gate; None before the gate.
        golden: Sample that `verify` replays.
        usual: Statistics of the training images; None in a file of an earlier capsedge.
        graph_sha256: Hash of the file without its metadata (`OnnxFile.graph_sha256`).
        weights_sha256: Hash of each weight (`OnnxFile.weights_sha256`).
        versions: Versions of the tools that made the file.
        dataset: Title of the training data set, such as `Fashion-MNIST`.
        data: Description of the data set, with its number of images.
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
        """The narrowest type of the layers with weights, read back from the file; see also `shares`."""
        weighted = [layer for layer in self.layers if layer.parameters] or self.layers
        narrowest = max((layer.type for layer in weighted), key=width)
        outputs = {layer.output for layer in weighted if layer.type == narrowest}
        return f"{narrowest}+fp16" if narrowest == "int8" and outputs == {"fp16"} else narrowest

    @property
    def shares(self) -> dict[str, TypeShare]:
        """The share of the layers and of their FLOPs in each type, the largest share of FLOPs first."""
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
        """Number of weights of all layers, without biases; a weight that two layers share counts once."""
        return sum({layer.name: layer.parameters for layer in self.layers}.values())

    def answer(self, lengths: NDArray[np.floating]) -> NDArray[np.intp]:
        """The classes of the longest capsules.

        Args:
            lengths: [images, classes].

        Returns:
            [images, labels], longest first; of two equal lengths the first class comes first, as in argmax.
        """
        return longest(lengths, self.labels)


class EngineManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The record beside a TensorRT engine (`<engine>.json`): the model's contract and the engine's requirements.

    Attributes:
        engine_sha256: Hash of the engine file; "" if another machine builds it.
        package: `tensorrt_rtx` or `tensorrt`.
        package_version: Release that built the engine, the only one that can load it; "" if unknown.
        targets: Compute capabilities of the engine: for `tensorrt` that of the GPU that built it; empty for the
            default of `tensorrt_rtx`, 8.0 and later.
        gpu: Name of the GPU that built the engine; "" if it was built without one.
        platform: Operating system and architecture that built the engine; a `tensorrt` engine runs only there.
        batch: Smallest, optimal and largest batch of the optimization profile.
        workspace_mb: Memory limit for intermediate results, in MiB; None for no limit.
        hardware_compatible: Whether a `tensorrt` engine also runs on other GPUs, from Ampere (8.0) on.
        deferred: Command that builds the engine on its target machine, if it could not be built; otherwise "".
        warnings: Warnings of the parser, and GPUs that cannot compute the file's types.
        build_seconds: Time of parsing and building, in seconds.
        size_bytes: Size of the engine.
        precision: Output type of each layer in the parsed network.
        contract: The contract of the ONNX file that was built, with the engine's own verdict.
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
        source: Source of the text, for the error.

    Raises:
        ModelError: The text is damaged, or has another schema version.
    """
    try:
        schema = decoded(text, _Schema).schema
        if schema != SCHEMA_VERSION:
            remedy = "upgrade capsedge" if schema > SCHEMA_VERSION else "export it again"
            raise ModelError(
                f"'{source}' has a contract of schema {schema}, this capsedge reads {SCHEMA_VERSION}", remedy
            )
        return decoded(text, kind)
    except DamagedRecord as error:
        raise ModelError(f"'{source}' has a damaged contract ({error})", "export it again") from error


def sealed(contract: Contract) -> dict[str, str]:
    """The metadata of an ONNX file: the contract and a hash that detects later changes of it."""
    text = encode(contract)
    return {METADATA_KEY: text, SEAL_KEY: hashlib.sha256(text.encode()).hexdigest()}


def seal_holds(file: OnnxFile) -> bool:
    """Whether the contract in a file matches the hash that was stored with it."""
    return hashlib.sha256(file.metadata.get(METADATA_KEY, "").encode()).hexdigest() == file.metadata.get(SEAL_KEY)


def contract_of(file: OnnxFile, *, source: str) -> Contract | None:
    """Read the contract from an ONNX file's metadata; None for a file of another tool.

    Raises:
        ModelError: The contract is damaged, or has another schema version.
    """
    text = file.metadata.get(METADATA_KEY)
    return None if text is None else decode(text, Contract, source=source)


class _Schema(msgspec.Struct):
    schema: int
