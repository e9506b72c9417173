"""The typed record of a recipe: network, routing, data and training, with the range of each value.

Every number of a training is here and nowhere else.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from capsedge.errors import WrongUse, nearest
from capsedge.fit import Fit, Frame, Levels
from capsedge.outside import encodable

TABLE1_KEYS = ("network.filters", "network.kernel", "network.padding", "network.activation")  # of stem table1 only
EVALUATION_IMAGES = 10_000
SIZE_BY_IMAGES = "0 chooses it by the images"  # what `data.size=0` does; the record's docstring says how
SMALLEST_SIDE, LARGEST_SIDE = 8, 4096  # in pixels; below 8, digits and garments cannot be recognized
# With overlapped images only the overlap places them: keys that must be off, and their value when off.
OFF_IN_OVERLAPS = {
    "balance": "false",
    "shift": "0",
    "crop": "0",
    "flip": "false",
    "rotation": "0",
    "scale": "0",
    "erase": "0",
}
FIT_OF_OVERLAPS = {"frame": "pad", "levels": "as-is"}

Count = Annotated[int, Meta(ge=1)]
Width = Annotated[int, Meta(ge=1, le=65536)]
# Far below the largest number of float32, so that products of two or three of them do not overflow.
LARGEST_NUMBER = 1_000_000
Number = Annotated[float, Meta(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Positive = Annotated[float, Meta(gt=0, le=LARGEST_NUMBER)]
NotNegative = Annotated[float, Meta(ge=0, le=LARGEST_NUMBER)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Side = Annotated[int, Meta(ge=0, le=LARGEST_SIDE, description=f"0, or {SMALLEST_SIDE} to {LARGEST_SIDE:,} pixels")]
Stride = Annotated[int, Meta(ge=1, le=64)]
LARGEST_SEED = 2**32 - 1  # the largest that torch, numpy and Python's random all accept
Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED)]

Stem = Literal["table1", "plain", "separable", "residual", "repvgg"]
RoutingKind = Literal["l2", "l1", "frozen", "backprop", "dynamic", "kl", "em"]
TrainingPrecision = Literal["auto", "fp32", "bf16"]


class NetworkRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stem, capsules and decoder; the defaults are Table I of the paper.

    Attributes:
        stem: Layers from the image to the feature maps: `table1` (one convolution), or blocks with batch
            normalization: `plain` (convolutions), `separable` (depthwise and pointwise), `residual` (two convolutions
            and a shortcut) or `repvgg` (branches in training, one convolution in the exported file).
        blocks: For stems other than `table1`: each block as [channels, stride]; the first block is always plain.
        grid: For stems other than `table1`: largest side of the feature maps, in pixels. Blocks of stride 2 are added
            until no side is longer; 0 adds none.
        filters: For `table1`: number of kernels of the convolution.
        kernel: For `table1`: side of the kernels of both convolutions, in pixels.
        padding: For `table1`: `valid` uses whole windows only; `same` pads with zeros, so that only the stride makes
            a side shorter.
        activation: For `table1`; `leaky-relu` (CIFAR-10) has slope 0.2 below zero.
        dropout: Share of the feature maps' channels that training drops before the primary capsules.
        primary_kernel: Side of the primary capsules' kernels, in pixels; 0 takes `kernel`.
        primary_stride: Stride of the primary capsules' convolution.
        capsule_types: Primary capsules at each position.
        primary_dim: Dimension of a primary capsule.
        hidden: Capsule layers between primary and class capsules, each as [capsules, dim].
        class_dim: Dimension of a class capsule.
        decoder: Widths of the hidden layers of the reconstruction network; empty for none ("/FC" in Table II).
    """

    stem: Stem = "table1"
    blocks: tuple[tuple[Width, Stride], ...] = ()
    grid: Annotated[int, Meta(ge=0)] = 0
    filters: Width = 256
    kernel: Width = 9
    padding: Literal["valid", "same"] = "valid"
    activation: Literal["relu", "leaky-relu"] = "relu"
    dropout: Share = 0.0
    primary_kernel: Annotated[int, Meta(ge=0, le=65536)] = 0
    primary_stride: Stride = 2
    capsule_types: Width = 32
    primary_dim: Width = 8
    hidden: tuple[tuple[Width, Width], ...] = ()
    class_dim: Width = 16
    decoder: tuple[Width, ...] = (512, 1024)

    def __post_init__(self) -> None:
        blocks = self.stem != "table1"
        if blocks and not self.blocks:
            raise ValueError(
                f"network.stem {self.stem} is made of blocks: set network.blocks, such as [[16, 2], [32, 2]]"
            )
        if not blocks and (self.blocks or self.grid):
            raise ValueError(
                "network.blocks and network.grid are for stems other than table1: set network.stem, or leave them out"
            )


class RoutingRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How primary capsules are coupled to class capsules, and how the coefficients b are learned.

    Attributes:
        kind: Coefficients b of the network: `l2` (eq 10), `l1` (eq 14), `frozen` (b stays at `b0`), `backprop` (b
            is trained on the margin loss with the weights). Coefficients of each image: `dynamic` (Sabour et al.
            2017), `kl` (Wang and Liu 2018), `em` (Hinton et al. 2018).
        iterations: Iterations of dynamic, KL and EM routing.
        temperature: alpha, the weight of the entropy in KL routing; 1 / lambda, the softness of EM's activations.
        objective: Class capsules in the objective before squash (`raw`, eq 6) or after it (`squashed`).
        step: `ascent` is eqs 13 and 15; `adam` is Adam on the same gradient, as in the authors' early code.
        proximal: For `l1`: apply the penalty as a soft threshold after the data term's step, which gives exact zeros;
            eq 15's sub-gradient gives none.
        learning_rate: Learning rate gamma of the routing step, scaled by the same schedule as that of the weights;
            with `adam`, a chosen `b0` multiplies it.
        penalty: lambda of eqs 10 and 14.
        reduction: Data term as the `mean` over the batch, or as the `sum` of eqs 10 and 14. With p observations, the
            `ascent` step of (sum, learning_rate, penalty) equals that of (mean, learning_rate * p, penalty / p).
        b0: Initial value of every b. 0 chooses 1 for up to 300 primary capsules, and 115 / capsules for more: with
            1, the sum over Table I's 1,152 capsules makes every length 0 or 1 in the first steps, and learning begins
            late.
        sigma: Standard deviation of the initial W of the first routing layer. In the layers after it
            (`network.hidden`) it is five times that, for dynamic routing also times the number of output capsules;
            KL and EM take it as it is.
        n_b: Weight steps in an iteration of Algorithm 1.
        n_r: Routing steps in an iteration of Algorithm 1.
        reuse_primary: Route on the primary capsules of the weight step (one update old) instead of computing
            them again. Algorithm 1 computes them again.
    """

    kind: RoutingKind = "l2"
    iterations: Count = 3
    temperature: Positive = 1.0
    objective: Literal["raw", "squashed"] = "raw"
    step: Literal["adam", "ascent"] = "adam"
    proximal: bool = False
    learning_rate: Positive = 2e-4
    penalty: NotNegative = 1e-5
    reduction: Literal["mean", "sum"] = "mean"
    b0: Number = 0.0
    sigma: Positive = 0.02
    n_b: Count = 1
    n_r: Count = 1
    reuse_primary: bool = True

    def __post_init__(self) -> None:
        if self.proximal and self.kind != "l1":
            raise ValueError(f"routing.proximal is a step of routing.kind l1, and the kind is {self.kind}")


class DataRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which images to take, and how to vary those of training; validation and test images are never varied.

    Attributes:
        source: Name of a known data set, or a path: a folder (images by class, IDX files, CIFAR archives), a .csv
            that lists images, or an .npz of arrays.
        size: Side in pixels that images are fitted to, 8 or more. 0 chooses it by the images: their size if all have
            the same, in a folder or list up to 48; otherwise the median of the longer sides, at most 48.
        frame: How images are fitted, by the exported model too: `pad` keeps the whole image and its aspect ratio on a
            black background, `crop` fills the frame and cuts off the rest, `stretch` ignores the aspect ratio, and
            `figure` shows what stands out from an even background, always in the same size and in the centre.
        levels: `as-is`, or `full` to spread the shades of each image from black to white.
        group: For a folder or a list: a regular expression. Images in whose names it finds the same text, such as
            `patient_[0-9]+`, stay in one part when test or validation images are held out.
        overlap: 0 for single images. Otherwise each image shows two images of different classes, each shifted by up
            to this many pixels, on a canvas larger by twice that (MultiMNIST: 4 gives 36x36 from 28x28).
        epoch_images: Images in an epoch of overlapped images, of which there are tens of millions; 0 for all.
        evaluation_images: Most overlapped images to validate on, and most to test on. No part has more of them than
            single images: more pairs of the same images would make its standard error too small.
        balance: Draw every class equally often in an epoch, if the largest class has more than three times the images
            of the smallest.
        shift: Largest random shift in pixels, padded with zeros.
        crop: Side of a random square crop, in pixels; validation and test take the centre crop. 0 for none.
        flip: Mirror half of the images. `auto` does so where they are in colour, as photographs are: most things in
            them have the same class in a mirror, unlike letters and digits.
        rotation: Largest random rotation to either side, in degrees; new corners are black.
        scale: Largest random change of an image's size, as a share: 0.1 makes it 0.9 to 1.1 times as large.
        erase: Share of the images in which a random rectangle of 2 % to 33 % of their area is filled with noise; a
            decoder reconstructs the original.
        brightness: Largest amount added to all pixels; 1 is from black to white.
        contrast: Largest change of the factor 1 on each channel's distance from its mean.
        standardize: Per-image standardization, in the network and so in the exported file.
    """

    source: Annotated[str, Meta(min_length=1, description="a data set's name or a path")] = "fashion-mnist"
    size: Side = 0
    frame: Frame = "pad"
    levels: Levels = "as-is"
    group: str = ""
    overlap: Annotated[int, Meta(ge=0, le=64)] = 0
    epoch_images: Annotated[int, Meta(ge=0)] = 0
    evaluation_images: Count = EVALUATION_IMAGES
    balance: bool = False
    shift: Annotated[int, Meta(ge=0, le=64)] = 0
    crop: Side = 0
    flip: Annotated[bool | Literal["auto"], Meta(description="true, false or 'auto'")] = False
    rotation: Annotated[float, Meta(ge=0, le=180)] = 0.0
    scale: Share = 0.0
    erase: Annotated[float, Meta(ge=0, le=1)] = 0.0
    brightness: Annotated[float, Meta(ge=0, le=1)] = 0.0
    contrast: Annotated[float, Meta(ge=0, le=1)] = 0.0
    standardize: bool = False

    @property
    def fit(self) -> Fit:
        """How images are fitted, in training and in inference."""
        return Fit(frame=self.frame, levels=self.levels)

    def __post_init__(self) -> None:
        for key, side in (("size", self.size), ("crop", self.crop)):
            if 0 < side < SMALLEST_SIDE:
                raise ValueError(f"data.{key}: expected 0, or {SMALLEST_SIDE} to {LARGEST_SIDE:,} pixels, got {side}")
        unused = [f"data.{key}={off}" for key, off in OFF_IN_OVERLAPS.items() if getattr(self, key)]
        # Training would fit the single images, but inference the overlapped ones.
        unused += [f"data.{key}={off}" for key, off in FIT_OF_OVERLAPS.items() if getattr(self, key) != off]
        if self.overlap and unused:
            raise ValueError(
                f"data.overlap: expected images that nothing else moves, mirrors or erases: set {', '.join(unused)}"
            )
        if not self.overlap and (self.epoch_images or self.evaluation_images != EVALUATION_IMAGES):
            raise ValueError(
                "data.epoch_images and data.evaluation_images are for overlapped images: set data.overlap, or leave "
                "them out"
            )


class TrainRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Algorithm 1's outer loop.

    Attributes:
        epochs: Passes over the training images; 0 for as many as make 3,000 steps, and 30 at least.
        best: Criterion for the network to keep: the lowest validation `error`, at equal errors the lowest loss; the
            lowest validation `loss`; or the `latest` whose error is in the 95 % interval of the lowest, because few
            validation images do not distinguish such networks.
        patience: End the training after this many epochs without a better network, by the criterion of `best`, or for
            `latest` without a lower error; 0 never does. While the learning rate of `one-cycle` is high, many epochs
            can pass without one.
        validations: Validations in an epoch, evenly spread; the last is at its end.
        batch_size: Observations p in a minibatch, on all devices together. 0 chooses the largest power of two from 16
            to 128 that gives 40 batches in an epoch, and scales the learning rate by sqrt(batch_size / 128).
        learning_rate: Adam's initial learning rate for the weights; where `batch_size` is 0, the rate for batches of
            128, which is then scaled.
        schedule: `step` multiplies the learning rate by `decay` every `decay_steps` steps; `cosine` falls to `floor`
            over the whole training; `one-cycle` rises from a tenth of the rate to it, and then falls as `cosine`
            does; `constant` keeps the rate.
        warmup: For `one-cycle`: share of the steps in which the rate rises; 0 is the same as `cosine`.
        decay: For `step`: factor on the learning rate.
        decay_steps: For `step`: number of steps between two decays.
        floor: Smallest learning rate.
        weight_decay: Decoupled weight decay (AdamW): each step subtracts this share of each weight, times the
            learning rate. Biases, normalization and the coefficients b are not decayed.
        averaging: Decay of the moving average of the weights that is validated and kept: each step's weights have
            weight 1 - averaging. 0 keeps the last weights.
        teachers: Folders of finished runs; the network also learns from their capsule lengths on the same images.
        distillation: Weight of the teachers' lengths in the loss; the labels have the rest, and all of it if there
            are no teachers.
        precision: `bf16` runs the convolutions in bfloat16 by autocast; routing and loss stay in fp32. `auto` is bf16
            if the device computes it in hardware, otherwise fp32; the recipe in the run's folder has the choice.
        seed: Seed of the weights, the order of images and the augmentation.
        reconstruction: Weight of the squared reconstruction error, summed over an image's pixels.
    """

    epochs: Annotated[int, Meta(ge=0)] = 40
    best: Literal["error", "loss", "latest"] = "error"
    patience: Annotated[int, Meta(ge=0)] = 0
    validations: Count = 1
    batch_size: Annotated[int, Meta(ge=0)] = 128
    learning_rate: Positive = 1e-3
    schedule: Literal["step", "cosine", "one-cycle", "constant"] = "step"
    warmup: Share = 0.2
    decay: Annotated[float, Meta(gt=0, le=1)] = 0.96
    decay_steps: Count = 1000
    floor: NotNegative = 1e-6
    weight_decay: NotNegative = 0.0
    averaging: Share = 0.0
    teachers: tuple[str, ...] = ()
    distillation: Annotated[float, Meta(ge=0, le=1)] = 0.5
    precision: TrainingPrecision = "auto"
    seed: Seed = 0
    reconstruction: NotNegative = 0.0005


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings that determine the result of a training.

    Attributes:
        name: Name of the run's folder, so one word: letters, digits, `_`, `-`, `.` and `+`.
    """

    name: Annotated[str, Meta(pattern=r"^\w[\w.+-]*\Z", description="one word of letters, digits, _, -, . and +")]
    network: NetworkRecipe = NetworkRecipe()
    routing: RoutingRecipe = RoutingRecipe()
    data: DataRecipe = DataRecipe()
    train: TrainRecipe = TrainRecipe()


def from_values(values: Mapping[str, Any], *, source: str) -> Recipe:
    """Make the typed recipe from plain values, such as a parsed TOML file's.

    Raises:
        WrongUse: A key is unknown or a value does not fit.
    """
    _check_keys(values, Recipe, source)
    _check_texts(values, source)
    try:
        return msgspec.convert(values, Recipe)
    except msgspec.ValidationError as error:
        from capsedge.misfit import misfit

        raise WrongUse(f"recipe '{source}': {misfit(values, Recipe)}") from error


def to_values(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values that TOML and JSON can hold."""
    values: dict[str, Any] = msgspec.to_builtins(recipe)
    return values


def to_flat_values(recipe: Recipe) -> dict[str, Any]:
    """The same values under the names that `--set` takes, `section.key`; the recipe's name is `name`."""
    flat: dict[str, Any] = {}
    for name, value in to_values(recipe).items():
        flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _check_keys(values: Mapping[str, Any], kind: type[msgspec.Struct], source: str, prefix: str = "") -> None:
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            known = [prefix + name for name in hints]
            raise WrongUse(f"recipe '{source}' has no key '{prefix}{key}'", nearest(prefix + key, known))
        if isinstance(value, dict) and isinstance(hints[key], type) and issubclass(hints[key], msgspec.Struct):
            _check_keys(value, hints[key], source, f"{prefix}{key}.")


def _check_texts(value: Any, source: str, key: str = "") -> None:
    """Refuse texts that a recipe's file or a path cannot hold."""
    match value:
        case str() if "\0" in value or encodable(value) != value:
            given = encodable(value).replace("\0", "\\0")
            raise WrongUse(f"recipe '{source}': {key}: expected a text in UTF-8 without NUL, got '{given}'")
        case Mapping():
            for name, inner in value.items():
                _check_texts(inner, source, f"{key}.{name}" if key else name)
        case list() | tuple():
            for inner in value:
                _check_texts(inner, source, key)
