"""Finding a recipe by its name or file, reading it with what it extends, and changing its values.

A shipped recipe is named after its parts in `capsedge/recipes/`: data-routing or data-routing-width, such as
`fashion-mnist-l2-small`. The parts are merged in the order routing, data, width; later values win. A width of the
edge family is also a recipe by itself, such as `edge-small`: with L2 routing and the data part of the given images.
The changes of the edge family for some data (`edge/`) are merged last. In a file, `extends = "other"` starts from
another recipe's values.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from capsedge.errors import DataError, WrongUse, nearest, refuse_text
from capsedge.files import check_utf8, is_file
from capsedge.recipe.record import TABLE1_KEYS, Recipe, from_values

SHIPPED = Path(__file__).parents[1] / "recipes"
DEFAULT_RECIPE = "edge-small"

_EDGE = "edge-"  # prefix of the widths of the edge family
_SAME_IMAGES = {"fashion-mnist-subset": "fashion-mnist"}  # data that takes the data part of another name
_EDGE_PARTS = SHIPPED / "edge"  # changes of the edge family for some data, merged last
_OWN_IMAGES = _EDGE_PARTS / "own.toml"  # for data without a data part
_LONGEST_CHAIN = 100  # recipes that extend each other

# Keys of recipes that an earlier capsedge wrote, by section, with their present names.
_FORMER_KEYS = {"routing": {"rate": "learning_rate"}, "train": {"rate": "learning_rate"}}


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with capsedge."""
    return sorted(_shipped())


def parts_of_names() -> dict[str, dict[str, str]]:
    """Possible parts of a shipped recipe's name, each with the first sentence of its file."""
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
        overrides: `section.key=value`; later ones win.
        data: Another source of images than the recipe's. A recipe of the edge family then takes that data's
            augmentation: garments may be mirrored, digits may not.

    Raises:
        WrongUse: The recipe, a key or a value does not exist or does not fit; the text names the nearest valid one.
            Or `overrides` is one text.
        DataError: There is no such TOML file.
    """
    refuse_text(overrides, "settings")
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
    """The recipe with more teachers; all paths absolute, so that the run finds them from any folder.

    Raises:
        WrongUse: A path is not UTF-8.
    """
    folders = [each.resolve() for each in (*map(Path, recipe.train.teachers), *teachers)]
    for folder in folders:
        check_utf8(folder)
    train = msgspec.structs.replace(recipe.train, teachers=tuple(map(str, folders)))
    return msgspec.structs.replace(recipe, train=train)


def read_values(path: Path) -> dict[str, Any]:
    """Values in a recipe file; keys of an earlier capsedge get their present names.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not TOML in UTF-8, is nested too deeply, or has a number of thousands of digits.
    """
    values = _parsed(path.read_text(encoding="utf-8-sig"))
    for section, keys in _FORMER_KEYS.items():
        if isinstance(part := values.get(section), dict):
            values[section] = {keys.get(key, key): value for key, value in part.items()}
    return values


def _parsed(text: str) -> dict[str, Any]:
    """Parse TOML; raises only ValueError."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _parts() -> list[list[Path]]:
    """The files of the parts of shipped recipes: data, routing, width."""
    return [sorted((SHIPPED / part).glob("*.toml")) for part in ("data", "routing", "width")]


def _shipped() -> dict[str, tuple[Path, ...]]:
    """Files of each shipped recipe in merge order, by the recipe's name."""
    data, routing, width = _parts()
    full: dict[str, tuple[Path, ...]] = {
        f"{images.stem}-{kind.stem}": (kind, images) for images in data for kind in routing
    }
    full |= {
        f"{name}-{side.stem}": (*parts, side, *_edge_part(parts, side))
        for name, parts in full.items()
        for side in width
    }
    edge = [side.stem for side in width if side.stem.startswith(_EDGE)]
    return full | {name: full[f"fashion-mnist-l2-{name}"] for name in edge}


def _edge_part(parts: tuple[Path, ...], width: Path) -> tuple[Path, ...]:
    """The file of an edge width's changes for the data of the last part, if there is one."""
    part = _EDGE_PARTS / parts[-1].name
    return (part,) if width.stem.startswith(_EDGE) and part.is_file() else ()


def _find(name_or_path: str, extending: tuple[Path, ...] = (), *, data: str | None = None) -> dict[str, Any]:
    path = Path(name_or_path)
    if path.suffix == ".toml":
        if not is_file(path):
            raise DataError(f"there is no recipe file '{name_or_path}'")
        return _read(path, extending, data=data)
    shipped = _shipped()
    if name_or_path not in shipped:
        if name_or_path and not extending and path.is_dir():
            raise WrongUse(f"expected a recipe, got the folder '{path}'", f"images are given by --data {path}")
        parts = " - ".join(f"({' '.join(path.stem for path in part)})" for part in _parts())
        names = f"a name is {parts}, or edge-nano, edge-small or edge-base"
        raise WrongUse(f"unknown recipe '{name_or_path}'", nearest(name_or_path, shipped, otherwise=names))
    files = shipped[name_or_path]
    if data is not None and name_or_path.startswith(_EDGE):
        # The part of own images comes last: it derives the length of the training from the number of images.
        files = shipped.get(f"{_SAME_IMAGES.get(data, data)}-l2-{name_or_path}", (files[0], files[2], _OWN_IMAGES))
    values: dict[str, Any] = {}
    for part in files:
        values = _merge(values, _read(part))
    return values | {"name": name_or_path}


def _read(path: Path, extending: tuple[Path, ...] = (), *, data: str | None = None) -> dict[str, Any]:
    chain = (*extending, path.resolve())
    if path.resolve() in extending:
        raise WrongUse(f"recipe '{path}' extends itself: {' -> '.join(each.stem for each in chain)}")
    if len(chain) > _LONGEST_CHAIN:
        raise WrongUse(
            f"recipe '{chain[0]}' extends a chain of more than {_LONGEST_CHAIN} recipes",
            "put their values into fewer files",
        )
    try:
        values = read_values(path)
    except ValueError as error:
        raise WrongUse(f"recipe '{path}' is not valid TOML: {error}") from error
    values.setdefault("name", path.stem)
    base = values.pop("extends", None)
    if base is None:
        return values
    # A file in the same folder comes before a shipped recipe; but a file of a shipped recipe's name can extend the
    # shipped recipe of that name.
    beside = path.parent / f"{base}.toml"
    own = is_file(beside) and (beside.resolve() != chain[-1] or base not in _shipped())
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
        raise WrongUse(f"expected section.key=value, such as train.epochs=5, got '{override}'")
    part = values.setdefault(section, {})
    if not isinstance(part, dict):
        raise WrongUse(f"expected section.key=value; '{section}' is a single value, not a section")
    parsed = _parse(text.strip())
    kind: Any = get_type_hints(Recipe).get(section)
    wants_text = isinstance(kind, type) and get_type_hints(kind).get(key) is str
    part[key] = text.strip() if wants_text and not isinstance(parsed, str) else parsed  # data.group=[0-9] is text


def _check_used(key: str, recipe: Recipe) -> None:
    """Refuse an override that has no effect."""
    if key in TABLE1_KEYS and recipe.network.stem != "table1":
        raise WrongUse(
            f"{key} is for network.stem table1, and recipe '{recipe.name}' has stem {recipe.network.stem}",
            "set network.blocks, such as [[16, 2], [32, 2]]",
        )


def _parse(text: str) -> Any:
    try:
        return _parsed(f"value = {text}")["value"]
    except ValueError:
        return text  # an unquoted string, such as routing.kind=l1
