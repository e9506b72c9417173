"""A recipe: network, routing, data and training in one typed record, kept as a TOML file.

A shipped recipe is named after its parts in `capsedge/recipes/`, data-routing or data-routing-width, such as
`fashion-mnist-l2-small`; they are read in the order routing, data, width, and the later win. A width of the edge
family is a recipe by itself, such as `edge-small`: with L2 routing, and with the part of the data that it is given;
what that family does otherwise on some data comes last (`edge/`). In a file, `extends = "other"` takes another
recipe's values first. Every number of a training is here and nowhere else.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from capsedge.errors import DataError, WrongUse, nearest
from capsedge.fit import Fit, Frame, Levels

SHIPPED = Path(__file__).parent / "recipes"
DEFAULT_RECIPE = "edge-small"
TABLE1_KEYS = ("network.filters", "network.kernel", "network.padding", "network.activation")  # other stems have none
EDGE = "edge-"  # what the widths of the edge family begin with
SAME_IMAGES = {"fashion-mnist-subset": "fashion-mnist"}  # data that is varied as another is
EDGE_PARTS = SHIPPED / "edge"  # what the edge family does otherwise on some data, which it reads last
OWN_IMAGES = EDGE_PARTS / "own.toml"  # of data that has no recipe
EVALUATION_IMAGES = 10_000
SMALLEST_SIDE, LARGEST_SIDE = 8, 4096  # in pixels, of what is asked for; below, digits and garments cannot be told
# Of the images that overlap, which are placed by that alone: the keys that have to be off, and how they are.
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
# Bounded by what float32 holds, so that neither inf nor nan passes.
Finite = Annotated[float, Meta(ge=-3e38, le=3e38)]
Positive = Annotated[float, Meta(gt=0, le=3e38)]
NotNegative = Annotated[float, Meta(ge=0, le=3e38)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Side = Annotated[int, Meta(ge=0, le=LARGEST_SIDE, description=f"0, or {SMALLEST_SIDE} to {LARGEST_SIDE:,} pixels")]
Stride = Annotated[int, Meta(ge=1, le=64)]
LARGEST_SEED = 2**32 - 1  # what torch, numpy and Python's random all take
Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED)]

Stem = Literal["table1", "plain", "separable", "residual", "repvgg"]
RoutingKind = Literal["l2", "l1", "frozen", "backprop", "dynamic", "kl", "em"]
TrainingPrecision = Literal["auto", "fp32", "bf16"]


class NetworkRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stem, capsules and decoder; the defaults are Table I of the paper.

    Attributes:
        stem: What makes feature maps of an image: `table1` (one convolution), or blocks with batch normalization:
            `plain` (convolutions), `separable` (depthwise and pointwise), `residual` (two convolutions and a way
            around them) or `repvgg` (branches in training, plain at the edge).
        blocks: Of the other stems, each block as [channels, stride]; the first block is always a plain one.
        grid: Of the other stems: blocks that halve are added until no side of the feature maps is longer; 0 for none.
        filters: Of `table1`: kernels of the convolution.
        kernel: Of `table1`: side of both convolutions' kernels, in pixels.
        padding: Of `table1`: `valid` uses whole windows only; `same` pads with zeros, so that a side shrinks by the
            stride alone.
        activation: Of `table1`; `leaky-relu` (CIFAR-10) has slope 0.2 below zero.
        dropout: Share of the feature maps' channels that training leaves out before the primary capsules.
        primary_kernel: Side of the primary capsules' kernels; 0 for `kernel`.
        primary_stride: Their stride.
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
                "network.blocks and network.grid are of the other stems: set network.stem, or leave them out"
            )


class RoutingRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How primary capsules are coupled to class capsules, and how the coefficients b are learned.

    Attributes:
        kind: Coefficients b of the network: `l2` (eq 10), `l1` (eq 14), `frozen` (b stays at `b0`), `backprop` (b
            descends the margin loss with the weights). Coefficients of each image: `dynamic` (Sabour et al. 2017),
            `kl` (Wang and Liu 2018), `em` (Hinton et al. 2018).
        iterations: Iterations of dynamic, KL and EM routing.
        temperature: alpha, the weight of the entropy in KL routing; 1 / lambda, the softness of EM's activations.
        objective: Class capsules in the objective before squash (`raw`, eq 6) or after it (`squashed`).
        step: `ascent` is eqs 13 and 15; `adam` is Adam on the same gradient, as in the authors' early code.
        proximal: For `l1`: the penalty as a soft threshold after the data term's step, which makes exact zeros,
            instead of eq 15's sub-gradient, which makes none.
        learning_rate: Step length gamma of the routing step, scaled by the same schedule as that of the weights.
        penalty: lambda of eqs 10 and 14.
        reduction: Data term as the `mean` over the batch, or as the `sum` that eqs 10 and 14 write. With p
            observations, (sum, learning_rate, penalty) takes the same plain step as (mean, learning_rate * p, penalty
            / p).
        b0: Initial value of every b.
        sigma: Standard deviation of the initial W of the first routing layer. Above it (`network.hidden`) it is five
            times that, times the number of capsules above for dynamic routing; KL and EM need no more.
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
    b0: Finite = 1.0
    sigma: Positive = 0.02
    n_b: Count = 1
    n_r: Count = 1
    reuse_primary: bool = True

    def __post_init__(self) -> None:
        if self.proximal and self.kind != "l1":
            raise ValueError(f"routing.proximal is a step of routing.kind l1, and the kind is {self.kind}")


class DataRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which images, and how those of training are varied; validation and test images never are.

    Attributes:
        source: Name of a known data set, or a place: a folder (images by class, IDX files, CIFAR archives), a .csv
            that lists images, or an .npz of arrays.
        size: Side in pixels that images are fitted to, 8 or more; 0 keeps a size that all have, up to 48 in a folder,
            where it else is the median of the longer sides, and 48 at most.
        frame: How they are fitted, by the exported model too: `pad` keeps the whole image and its aspect on a black
            background, `crop` fills the frame and cuts what hangs over, `stretch` ignores the aspect, and `figure`
            shows what stands out from an even background, always equally large and in the middle.
        levels: `as-is`, or `full` to spread the shades of each image from black to white.
        group: Of a folder or a list: a regular expression that finds in the images' names what belongs together,
            such as `patient_[0-9]+`, and so stays on one side when test or validation images are held out.
        overlap: 0 for the images as they are. Otherwise two images of different classes lie over each other, each
            shifted by up to so many pixels, on a canvas larger by twice that (MultiMNIST: 4 makes 36x36 of 28x28).
        epoch_images: Images in an epoch of overlapped ones, of which there are tens of millions; 0 for all.
        evaluation_images: Most overlapped images to validate on, and most to test on. No part has more of them than
            single ones: more pairs of the same images would make its standard error too small.
        balance: Draw every class alike often in an epoch, where the largest has more than three times the images of
            the smallest.
        shift: Largest random shift in pixels, zero padded.
        crop: Side of a random square of the image, in pixels; validation and test take the centre's. 0 for none.
        flip: Mirror half of the images.
        rotation: Largest random turn to either side, in degrees; what comes in is black.
        scale: Largest random change of an image's size, as a share: 0.1 makes it 0.9 to 1.1 times as large.
        erase: Share of the images that lose a random rectangle of 2 % to 33 % of their area, which is filled with
            noise; a decoder draws what was there.
        brightness: Largest change of all pixels together; 1 is from black to white.
        contrast: Largest change of the factor 1 on each channel's distance from its mean.
        standardize: Per-image standardization, in the network and so in the exported file.
    """

    source: str = "fashion-mnist"
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
    flip: bool = False
    rotation: Annotated[float, Meta(ge=0, le=180)] = 0.0
    scale: Share = 0.0
    erase: Annotated[float, Meta(ge=0, le=1)] = 0.0
    brightness: Annotated[float, Meta(ge=0, le=1)] = 0.0
    contrast: Annotated[float, Meta(ge=0, le=1)] = 0.0
    standardize: bool = False

    @property
    def fit(self) -> Fit:
        """How images become inputs, in training and later."""
        return Fit(frame=self.frame, levels=self.levels)

    def __post_init__(self) -> None:
        for key, side in (("size", self.size), ("crop", self.crop)):
            if 0 < side < SMALLEST_SIDE:
                raise ValueError(f"data.{key}: expected 0, or {SMALLEST_SIDE} to {LARGEST_SIDE:,} pixels, got {side}")
        unused = [f"data.{key}={off}" for key, off in OFF_IN_OVERLAPS.items() if getattr(self, key)]
        # Single images would be fitted so, and later what shows two of them.
        unused += [f"data.{key}={off}" for key, off in FIT_OF_OVERLAPS.items() if getattr(self, key) != off]
        if self.overlap and unused:
            raise ValueError(
                f"data.overlap: expected images that nothing else moves, mirrors or erases: set {', '.join(unused)}"
            )
        if not self.overlap and (self.epoch_images or self.evaluation_images != EVALUATION_IMAGES):
            raise ValueError(
                "data.epoch_images and data.evaluation_images are of overlapped images: set data.overlap, or leave "
                "them out"
            )


class TrainRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Algorithm 1's outer loop.

    Attributes:
        epochs: Passes over the training images; 0 for as many as make 3,000 steps, and 30 at least.
        best: By what the network that is kept is chosen: the validation `error`, and of equal ones the loss; or the
            `loss`, which tells networks apart where validation images are too few for the error to.
        patience: Epochs without a better network, after which the training ends; 0 for none. While `one-cycle` still
            has a high learning rate, a network can wait long for a better one.
        validations: Validations in an epoch, evenly spread; the last is at its end.
        batch_size: Observations p in a minibatch, on all devices together; 0 for the largest power of two from 16 to
            128 of which an epoch has 40, and for a learning rate that follows its square root from that at 128.
        learning_rate: Adam's initial step length for the weights.
        schedule: `step` multiplies the learning rate by `decay` every `decay_steps` steps; `cosine` falls to `floor`
            over the whole training; `one-cycle` rises from a tenth of the rate to it, and then falls as cosine does;
            `constant` does nothing.
        warmup: Of `one-cycle`: share of the steps that it rises in; 0 for the same as `cosine`.
        decay: Of `step`.
        decay_steps: Of `step`.
        floor: Smallest learning rate.
        weight_decay: Share of each weight that a step takes away, times the learning rate (AdamW); biases,
            normalization and the coefficients b keep theirs.
        averaging: The network that is validated and kept is a moving average of the weights, in which each step's
            weights count for 1 less this; 0 for the last weights.
        teachers: Folders of finished runs, whose capsule lengths on the same images the network learns from, too.
        distillation: Share of the loss that the teachers' lengths have; the labels have the rest, and without
            teachers all of it.
        precision: `bf16` runs the convolutions in bfloat16 by autocast; routing and loss stay in fp32. `auto` is bf16
            where the device has the units for it, else fp32; the recipe in a run's folder says which it became.
        seed: Seed of weights, order and augmentation.
        reconstruction: Weight of the squared reconstruction error, summed over an image's pixels.
    """

    epochs: Annotated[int, Meta(ge=0)] = 40
    best: Literal["error", "loss"] = "error"
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
    """Everything that decides the result of a training.

    Attributes:
        name: Names the run's folder, so it is one word: letters, digits, `_`, `-`, `.` and `+`.
    """

    name: Annotated[str, Meta(pattern=r"^\w[\w.+-]*$", description="one word of letters, digits, _, -, . and +")]
    network: NetworkRecipe = NetworkRecipe()
    routing: RoutingRecipe = RoutingRecipe()
    data: DataRecipe = DataRecipe()
    train: TrainRecipe = TrainRecipe()


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with capsedge."""
    return sorted(_shipped())


def parts_of_names() -> dict[str, dict[str, str]]:
    """What the parts of a shipped recipe's name can be, each with the first sentence of its file."""
    return {
        kind: {path.stem: _first_sentence(path) for path in part}
        for kind, part in zip(("DATA", "ROUTING", "WIDTH"), _parts(), strict=True)
    }


def _first_sentence(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line[2:] for line in takewhile(lambda line: line.startswith("# "), lines))
    return re.split(r"(?<! al)\. ", comment)[0].removesuffix(".")


def load_recipe(name_or_path: str, overrides: Sequence[str] = (), *, data: str | None = None) -> Recipe:
    """Load a recipe by name or from a TOML file, then apply `section.key=value` overrides.

    Args:
        name_or_path: A shipped recipe's name, or a TOML file.
        overrides: `section.key=value`, the later win.
        data: Another source of images than the recipe's. A recipe of the edge family then varies them as the recipes
            of that data do: a garment may be mirrored, a digit may not.

    Raises:
        WrongUse: The recipe, a key or a value does not exist or does not fit; the text names the nearest right one.
        DataError: There is no such TOML file.
    """
    values = _find(name_or_path, data=data)
    if data is not None:
        values = _merge(values, {"data": {"source": data}})
    for override in overrides:
        _apply(values, override)
    recipe = from_values(values, source=str(name_or_path))
    for override in overrides:
        _check_used(override.partition("=")[0].strip(), recipe)
    return recipe


def taught(recipe: Recipe, teachers: Sequence[Path] = ()) -> Recipe:
    """The recipe with more teachers; all by absolute paths, so that the run finds them from any folder."""
    folders = [*map(Path, recipe.train.teachers), *teachers]
    train = msgspec.structs.replace(recipe.train, teachers=tuple(str(each.resolve()) for each in folders))
    return msgspec.structs.replace(recipe, train=train)


# What an earlier capsedge called keys of a recipe's sections.
_FORMER_KEYS = {"routing": {"rate": "learning_rate"}, "train": {"rate": "learning_rate"}}


def read_values(path: Path) -> dict[str, Any]:
    """The content of a recipe's file, which an earlier capsedge may have written, with the keys of this one.

    Raises:
        OSError: It cannot be read.
        tomllib.TOMLDecodeError: It is no TOML.
        UnicodeDecodeError: It is not UTF-8.
    """
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    for section, keys in _FORMER_KEYS.items():
        if isinstance(part := values.get(section), dict):
            values[section] = {keys.get(key, key): value for key, value in part.items()}
    return values


def from_values(values: Mapping[str, Any], *, source: str) -> Recipe:
    """Check plain values, such as a parsed TOML file's, and make the typed recipe.

    Raises:
        WrongUse: A key is unknown or a value does not fit.
    """
    _check_keys(values, Recipe, source)
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
    """The same values by the names that `--set` knows, `section.key`; the recipe's name is `name`."""
    flat: dict[str, Any] = {}
    for name, value in to_values(recipe).items():
        flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _parts() -> list[list[Path]]:
    """The files that shipped recipes are made of: data, routing, width."""
    return [sorted((SHIPPED / part).glob("*.toml")) for part in ("data", "routing", "width")]


def _shipped() -> dict[str, tuple[Path, ...]]:
    """The parts of each shipped recipe, by its name."""
    data, routing, width = _parts()
    full: dict[str, tuple[Path, ...]] = {
        f"{images.stem}-{kind.stem}": (kind, images) for images in data for kind in routing
    }
    full |= {
        f"{name}-{side.stem}": (*parts, side, *_edge_part(parts, side))
        for name, parts in full.items()
        for side in width
    }
    edge = [side.stem for side in width if side.stem.startswith(EDGE)]
    return full | {name: full[f"fashion-mnist-l2-{name}"] for name in edge}


def _edge_part(parts: tuple[Path, ...], width: Path) -> tuple[Path, ...]:
    """What a width of the edge family does otherwise on the data of the last part."""
    part = EDGE_PARTS / parts[-1].name
    return (part,) if width.stem.startswith(EDGE) and part.is_file() else ()


def _find(name_or_path: str, extending: tuple[Path, ...] = (), *, data: str | None = None) -> dict[str, Any]:
    path = Path(name_or_path)
    if path.suffix == ".toml":
        if not path.is_file():
            raise DataError(f"there is no recipe file '{name_or_path}'")
        return _read(path, extending, data=data)
    shipped = _shipped()
    if name_or_path not in shipped:
        if name_or_path and not extending and path.is_dir():
            raise WrongUse(f"expected a recipe, got the folder '{path}'", f"images are given by --data {path}")
        parts = " - ".join(f"({' '.join(path.stem for path in part)})" for part in _parts())
        names = f"a name is {parts}, or edge-nano, edge-small or edge-base"
        raise WrongUse(f"unknown recipe '{name_or_path}'; {nearest(name_or_path, shipped, otherwise=names)}")
    files = shipped[name_or_path]
    if data is not None and name_or_path.startswith(EDGE):
        # Own images have the last word: how long to train depends on how many there are.
        files = shipped.get(f"{SAME_IMAGES.get(data, data)}-l2-{name_or_path}", (files[0], files[2], OWN_IMAGES))
    values: dict[str, Any] = {}
    for part in files:
        values = _merge(values, _read(part))
    return values | {"name": name_or_path}


def _read(path: Path, extending: tuple[Path, ...] = (), *, data: str | None = None) -> dict[str, Any]:
    chain = (*extending, path.resolve())
    if path.resolve() in extending:
        raise WrongUse(f"recipe '{path}' extends itself: {' -> '.join(each.stem for each in chain)}")
    try:
        values = read_values(path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUse(f"recipe '{path}' is not valid TOML: {error}") from error
    values.setdefault("name", path.stem)
    base = values.pop("extends", None)
    if base is None:
        return values
    # A recipe beside this one comes first, so that people can extend their own; but a person's own
    # fashion-mnist-l2.toml can extend the shipped one of that name.
    beside = path.parent / f"{base}.toml"
    own = beside.is_file() and (beside.resolve() != chain[-1] or base not in _shipped())
    return _merge(_find(str(beside if own else base), chain, data=data), values)


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    section, dot, key = dotted.strip().partition(".")
    if not (equals and dot and key):
        raise WrongUse(f"--set: expected section.key=value, such as train.epochs=5, got '{override}'")
    part = values.setdefault(section, {})
    if not isinstance(part, dict):
        raise WrongUse(f"--set: expected section.key=value; '{section}' is a single value, not a section")
    parsed = _parse(text.strip())
    kind: Any = get_type_hints(Recipe).get(section)
    wants_text = isinstance(kind, type) and get_type_hints(kind).get(key) is str
    part[key] = text.strip() if wants_text and not isinstance(parsed, str) else parsed  # such as data.group=[0-9]


def _check_used(key: str, recipe: Recipe) -> None:
    """Refuse a change that would change nothing."""
    if key in TABLE1_KEYS and recipe.network.stem != "table1":
        raise WrongUse(
            f"--set {key} is of network.stem table1, and recipe '{recipe.name}' has stem {recipe.network.stem}: "
            "set network.blocks, such as [[16, 2], [32, 2]]"
        )


def _parse(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # an unquoted string, such as routing.kind=l1


def _check_keys(values: Mapping[str, Any], kind: type[msgspec.Struct], source: str, prefix: str = "") -> None:
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            known = [prefix + name for name in hints]
            raise WrongUse(f"recipe '{source}' has no key '{prefix}{key}'; {nearest(prefix + key, known)}")
        if isinstance(value, dict) and isinstance(hints[key], type) and issubclass(hints[key], msgspec.Struct):
            _check_keys(value, hints[key], source, f"{prefix}{key}.")
