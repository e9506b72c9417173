"""Recipes: the shipped ones say what the paper says, and a mistake is an error that names the right key."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import tomli_w
import torch
from msgspec.structs import replace
from torch import nn

from capsedge.errors import DataError, WrongUse
from capsedge.export.fold import folded
from capsedge.models import build_network
from capsedge.recipe import (
    SHIPPED,
    NetworkRecipe,
    Recipe,
    RoutingKind,
    from_values,
    load_recipe,
    shipped_recipes,
    taught,
    to_flat_values,
    to_values,
)

EDGE_FAMILY = ("edge-base", "edge-nano", "edge-small")


def recipe_file(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_shipped_recipe_loads_under_its_own_name() -> None:
    assert [load_recipe(name).name for name in shipped_recipes()] == shipped_recipes()


def test_the_name_of_a_shipped_recipe_says_its_data_and_its_routing() -> None:
    for name in shipped_recipes():
        if name in EDGE_FAMILY:
            continue
        recipe = load_recipe(name)
        data, _, kind = re.sub(r"(-edge-\w+|-small)$", "", name).rpartition("-")
        overlapped = "multi-" if recipe.data.overlap else ""

        assert (overlapped + recipe.data.source, recipe.routing.kind) == (data, kind), name


def test_every_data_set_comes_with_every_routing_kind_in_every_width_and_the_edge_family_by_itself() -> None:
    data = ("cifar-10", "fashion-mnist", "mnist", "multi-fashion-mnist", "multi-mnist")
    widths = ("", "-small", *(f"-{name}" for name in EDGE_FAMILY))
    names = [f"{each}-{kind}{width}" for each in data for kind in get_args(RoutingKind) for width in widths]

    assert sorted([*names, *EDGE_FAMILY]) == shipped_recipes()


@pytest.mark.parametrize("name", EDGE_FAMILY)
def test_the_edge_family_takes_the_part_of_the_data_that_it_is_given(name: str) -> None:
    def of(recipe: Recipe) -> dict[str, Any]:
        return {key: value for key, value in to_values(recipe).items() if key != "name"}

    assert of(load_recipe(name)) == of(load_recipe(f"fashion-mnist-l2-{name}"))
    assert of(load_recipe(name, data="cifar-10")) == of(load_recipe(f"cifar-10-l2-{name}"))
    assert not load_recipe(name, data="mnist").data.flip
    subset = load_recipe(name, data="fashion-mnist-subset").data  # which are garments, too
    assert subset == replace(load_recipe(name).data, source="fashion-mnist-subset")
    own = load_recipe(name, ["data.size=32"], data="photos/")
    assert (own.data.source, own.data.size, own.data.flip) == ("photos/", 32, "auto")
    assert own.network == load_recipe(name).network


def test_data_that_is_given_is_the_source_of_any_recipe() -> None:
    given = load_recipe("fashion-mnist-l1", data="photos/")
    assert given.data == replace(load_recipe("fashion-mnist-l1").data, source="photos/")


# What docs/decisions/0022-stems.md says of the family; products are those of one image of 28x28, at the edge.
@pytest.mark.parametrize(
    ("name", "parameters", "products"),
    [("edge-nano", 100_000, 1e6), ("edge-small", 200_000, 5e6), ("edge-base", 1_000_000, 30e6)],
)
def test_the_edge_family_stays_within_its_sizes(name: str, parameters: int, products: float) -> None:
    network = folded(build_network(load_recipe(name), classes=10, shape=(28, 28, 1)))
    counted: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            kernel = module.weight[0].numel()
            module.register_forward_hook(lambda _m, _i, maps, kernel=kernel: counted.append(maps.numel() * kernel))
    network(torch.zeros(1, 1, 28, 28))
    assert sum(each.numel() for each in network.parameters()) <= parameters
    assert sum(counted) + network.routing.weight.numel() <= products


def test_every_part_of_a_recipe_opens_with_a_comment_that_says_what_it_is() -> None:
    parts = sorted(SHIPPED.rglob("*.toml"))
    assert [path.name for path in parts if not path.read_text(encoding="utf-8").startswith("# ")] == []
    assert len(parts) > 15


@pytest.mark.parametrize("data", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("kind", ["l2", "l1", "dynamic", "frozen"])
def test_the_full_width_recipes_are_table_1_of_the_paper(data: str, kind: str) -> None:
    network = load_recipe(f"{data}-{kind}").network

    assert network == NetworkRecipe(
        filters=256, kernel=9, capsule_types=32, primary_dim=8, class_dim=16, decoder=(512, 1024)
    )


def test_cifar_10_is_table_1_of_the_paper_with_the_augmentation_of_sabours_code() -> None:
    recipe = load_recipe("cifar-10-l1")
    network, data = recipe.network, recipe.data

    assert (network.filters, network.capsule_types, network.decoder) == (256, 64, ())
    assert (network.activation, network.padding) == ("leaky-relu", "same")
    assert (data.crop, data.flip, data.standardize) == (24, True, True)
    assert data.brightness * 255 == pytest.approx(63, abs=0.1)
    assert (1 - data.contrast, 1 + data.contrast) == pytest.approx((0.2, 1.8))


@pytest.mark.parametrize("kind", ["l2", "l1"])
def test_multi_mnist_is_trained_as_section_iv_b_2_of_the_paper_says(kind: str) -> None:
    recipe = load_recipe(f"multi-mnist-{kind}")
    train = recipe.train

    assert (train.learning_rate, train.decay, train.decay_steps, recipe.routing.penalty) == (1e-3, 0.96, 20_000, 1e-3)
    assert train.epochs * recipe.data.epoch_images / train.batch_size == 200_000
    assert recipe.data.overlap == 4


def test_fashion_mnist_has_the_batches_and_the_rate_of_section_iv_of_the_paper_for_every_kind() -> None:
    l2 = to_values(load_recipe("fashion-mnist-l2"))
    assert (l2["train"]["batch_size"], l2["train"]["learning_rate"], l2["train"]["reconstruction"]) == (
        128,
        1e-3,
        5e-4,
    )
    assert (l2["data"]["shift"], l2["data"]["flip"], l2["train"]["schedule"]) == (2, True, "cosine")
    for kind in get_args(RoutingKind):
        other = to_values(load_recipe(f"fashion-mnist-{kind}"))
        of_matrices = {"network"} if kind == "em" else set()
        assert {key for key in l2 if l2[key] != other[key]} - of_matrices <= {"name", "routing"}


def test_a_recipe_survives_the_way_through_a_file(tmp_path: Path) -> None:
    recipe = load_recipe("fashion-mnist-l1-small", ["train.seed=7", "routing.b0=0.059"])
    path = recipe_file(tmp_path, "copy", tomli_w.dumps(to_values(recipe)))

    assert load_recipe(path) == recipe


def test_extends_takes_the_other_recipes_values_and_keeps_its_own(tmp_path: Path) -> None:
    mine = load_recipe(recipe_file(tmp_path, "mine", 'extends = "mnist-l2"\n[train]\nepochs = 3\n'))
    theirs = load_recipe("mnist-l2")

    assert (mine.name, mine.train.epochs) == ("mine", 3)
    assert mine.train.learning_rate == theirs.train.learning_rate
    assert (mine.network, mine.routing, mine.data) == (theirs.network, theirs.routing, theirs.data)


def test_extends_prefers_a_recipe_that_lies_beside(tmp_path: Path) -> None:
    recipe_file(tmp_path, "mnist-l2", "[train]\nepochs = 11\n")
    path = recipe_file(tmp_path, "mine", 'extends = "mnist-l2"\n')

    assert load_recipe(path).train.epochs == 11


def test_a_persons_own_recipe_may_extend_the_shipped_one_of_the_same_name(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "mnist-l2", 'extends = "mnist-l2"\n[train]\nepochs = 11\n')

    assert load_recipe(path).train.epochs == 11
    assert load_recipe(path).data.shift == load_recipe("mnist-l2").data.shift


def test_recipes_that_extend_each_other_are_wrong_use(tmp_path: Path) -> None:
    recipe_file(tmp_path, "a", 'extends = "b"\n')
    path = recipe_file(tmp_path, "b", 'extends = "a"\n')

    with pytest.raises(WrongUse, match="extends itself: b -> a -> b"):
        load_recipe(path)


def test_a_chain_of_thousands_of_recipes_is_wrong_use_and_one_of_fifty_is_read(tmp_path: Path) -> None:
    for number in range(2000):
        recipe_file(tmp_path, f"r{number}", f'extends = "r{number + 1}"\n')
    recipe_file(tmp_path, "r2000", 'extends = "mnist-l2"\n[train]\nepochs = 3\n')

    assert load_recipe(str(tmp_path / "r1950.toml")).train.epochs == 3
    with pytest.raises(WrongUse, match=r"r0\.toml' extends a chain of more than 100 recipes: put their values into"):
        load_recipe(str(tmp_path / "r0.toml"))


def test_teachers_are_kept_by_absolute_paths_in_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert taught(load_recipe("mnist-l2"), [Path("run")]).train.teachers == (str(tmp_path / "run"),)
    with pytest.raises(WrongUse, match=r"expected a path in UTF-8, got '.*run-\\udcff'"):
        taught(load_recipe("mnist-l2"), [Path("run-\udcff")])


@pytest.mark.parametrize("base", ['"no-such"', '"no/such"', '""', "[1]"])
def test_a_recipe_that_extends_nothing_known_is_wrong_use(tmp_path: Path, base: str) -> None:
    with pytest.raises(WrongUse, match="unknown recipe"):
        load_recipe(recipe_file(tmp_path, "mine", f"extends = {base}\n"))


def test_set_overrides_the_file_and_the_last_one_wins() -> None:
    recipe = load_recipe("mnist-l2", ["train.epochs=5", "train.epochs=6", "routing.kind=l1", "train.learning_rate=1"])

    assert (recipe.train.epochs, recipe.routing.kind, recipe.train.learning_rate) == (6, "l1", 1.0)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.source=/home/me/my images", "/home/me/my images"),
        ("data.source = mnist", "mnist"),
        ('data.source="2024"', "2024"),
        ("data.source=a=b", "a=b"),
        ("network.decoder=[]", ()),
        ("network.decoder=[32, 64]", (32, 64)),
    ],
)
def test_set_takes_lists_and_text_with_and_without_quotes(override: str, value: object) -> None:
    assert to_flat_values(load_recipe("mnist-l2", [override]))[override.partition("=")[0].strip()] == value


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("train.epoch=5", "has no key 'train.epoch': did you mean 'train.epochs'?"),
        ("train.rate=1", "has no key 'train.rate': did you mean 'train.learning_rate'?"),
        ("tran.epochs=5", "has no key 'tran': did you mean 'train'?"),
        ("routing.lambda=1", "has no key 'routing.lambda'"),
        ("train.epochs=-1", "train.epochs: expected an integer of 0 or more, got -1"),
        ("train.epochs=many", "train.epochs: expected an integer of 0 or more, got 'many'"),
        ("train.epochs=5.5", "train.epochs: expected an integer of 0 or more, got 5.5"),
        ("train.epochs=true", "train.epochs: expected an integer of 0 or more, got true"),
        ("train.seed=-1", "train.seed: expected an integer from 0 to 4,294,967,295, got -1"),
        ("train.learning_rate=nan", "train.learning_rate: expected a number above 0 to 1,000,000, got nan"),
        ("train.learning_rate=inf", "train.learning_rate: expected a number above 0 to 1,000,000, got inf"),
        ("routing.learning_rate=1e38", "routing.learning_rate: expected a number above 0 to 1,000,000, got 1e+38"),
        ("train.epochs=" + "1" * 5000, "train.epochs: expected an integer of 0 or more, got '111"),
        ("network.hidden=" + "[" * 5000, "network.hidden: expected a list in which each is [an integer"),
        ("routing.kind=a\udcff", "routing.kind: expected a text in UTF-8 without NUL, got 'a\\udcff'"),
        ("train.teachers=['a\udcff']", "train.teachers: expected a text in UTF-8 without NUL, got 'a\\udcff'"),
        ('data.source="a\\u0000b"', "data.source: expected a text in UTF-8 without NUL, got 'a\\0b'"),
        ("data.source=", "data.source: expected a data set's name or a path, got ''"),
        ("routing.b0=nan", "routing.b0: expected a number from -1,000,000 to 1,000,000, got nan"),
        ("routing.b0=-inf", "routing.b0: expected a number from -1,000,000 to 1,000,000, got -inf"),
        ("train.decay=1.5", "train.decay: expected a number above 0 to 1, got 1.5"),
        ("routing.kind=l3", "routing.kind: expected one of l2, l1, frozen, backprop, dynamic, kl, em, got 'l3'"),
        (
            "routing.proximal=true",
            "recipe 'fashion-mnist-l2': routing.proximal is a step of routing.kind l1, and the kind is l2",
        ),
        ("data.size=3", "data.size: expected 0, or 8 to 4,096 pixels, got 3"),
        ("data.size=7", "data.size: expected 0, or 8 to 4,096 pixels, got 7"),
        ("data.size=5000", "data.size: expected 0, or 8 to 4,096 pixels, got 5000"),
        ("data.size=big", "data.size: expected 0, or 8 to 4,096 pixels, got 'big'"),
        ("data.crop=7", "data.crop: expected 0, or 8 to 4,096 pixels, got 7"),
        ("data.overlap=65", "data.overlap: expected an integer from 0 to 64, got 65"),
        ("data.rotation=181", "data.rotation: expected a number from 0 to 180, got 181"),
        ("data.rotation=-5", "data.rotation: expected a number from 0 to 180, got -5"),
        ("data.scale=1", "data.scale: expected a number from 0 to below 1, got 1"),
        ("data.erase=1.5", "data.erase: expected a number from 0 to 1, got 1.5"),
        ("train.precision=fp16", "train.precision: expected one of auto, fp32, bf16, got 'fp16'"),
        (
            "network.decoder=[512, 0]",
            "network.decoder: expected a list in which each is an integer from 1 to 65,536, got 0",
        ),
        (
            "network.decoder=512",
            "network.decoder: expected a list in which each is an integer from 1 to 65,536, got 512",
        ),
        (
            "network.blocks=[[16, 2], [32, 'two']]",
            "network.blocks: expected a list in which each is [an integer from 1 to 65,536, an integer from 1 to 64]"
            ", got [32, 'two']",
        ),
        ("network.blocks=[[16, 2], [32]]", ", got [32]"),
        ("network.hidden=[[8, 4], 5]", ", got 5"),
        ("train.teachers=[1]", "train.teachers: expected a list in which each is a text, got 1"),
        ("data.flip=yes", "data.flip: expected true, false or 'auto', got 'yes'"),
        ("train.epochs=", "train.epochs: expected an integer of 0 or more, got ''"),
        ("train.epochs=2026-12-01", "train.epochs: expected an integer of 0 or more, got 2026-12-01"),
        ("train.epochs={many = 1}", "train.epochs: expected an integer of 0 or more, got a section"),
        ("name.first=x", "'name' is a single value, not a section"),
        ("epochs=5", "expected section.key=value, such as train.epochs=5, got 'epochs=5'"),
        ("train.epochs", "expected section.key=value"),
        ("train.=5", "expected section.key=value"),
        ("", "expected section.key=value"),
    ],
)
def test_a_wrong_override_is_wrong_use_that_says_what_is_right(override: str, complaint: str) -> None:
    with pytest.raises(WrongUse, match=re.escape(complaint)) as error:
        load_recipe("fashion-mnist-l2", [override])
    assert "$" not in str(error.value)
    assert "`" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[train\n", "is not valid TOML"),
        (f"[train]\nseed = {'1' * 5000}\n", "is not valid TOML"),
        (f"[network]\nhidden = {'[' * 5000}\n", "is not valid TOML: it is nested too deeply"),
        ("train = 5\n", "train: expected a section with keys such as epochs, best, patience, got 5"),
        ("data = [1]\n", "data: expected a section with keys such as source, size, frame, got [1]"),
        ("name = 5\n", "name: expected one word of letters, digits, _, -, . and +, got 5"),
        ('name = "a\\n"\n', "name: expected one word of letters, digits, _, -, . and +, got"),
        ("[train]\nepochs = 'five'\n", "train.epochs: expected an integer of 0 or more, got 'five'"),
        (
            "[network]\nstem = 'plain'\nblocks = [[8, 2], 'x']\n",
            "network.blocks: expected a list in which each is [an",
        ),
        ("[network]\nstem = 'plain'\n", "network.stem plain is made of blocks: set network.blocks"),
        ("[train]\nepocs = 5\n", "did you mean 'train.epochs'?"),
        ("[trian]\n", "did you mean 'train'?"),
    ],
)
def test_a_wrong_file_is_wrong_use_that_names_the_file(tmp_path: Path, text: str, complaint: str) -> None:
    path = recipe_file(tmp_path, "mine", text)

    with pytest.raises(WrongUse, match=f"{re.escape(path)}.*{re.escape(complaint)}"):
        load_recipe(path)


MADE = "a name is (cifar-10 fashion-mnist mnist multi-fashion-mnist multi-mnist) - (backprop dynamic em"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fashion-mnist-12", "unknown recipe 'fashion-mnist-12': did you mean 'fashion-mnist-l2'"),
        ("?", MADE),
        (".", "expected a recipe, got the folder '.': images are given by --data ."),
        ("gone.toml", "there is no recipe file 'gone.toml'"),
        ("image.toml", "recipe 'image.toml' is not valid TOML"),
    ],
)
def test_what_is_no_recipe_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("image.toml").write_bytes(b"\x89PNG\xff")
    with pytest.raises(DataError if name == "gone.toml" else WrongUse, match=re.escape(said)):
        load_recipe(name)


@pytest.mark.parametrize(
    ("varied", "off"),
    [
        ("shift=2", "0"),
        ("crop=20", "0"),
        ("flip=true", "false"),
        ("rotation=15", "0"),
        ("scale=0.1", "0"),
        ("erase=0.5", "0"),
        ("frame=figure", "pad"),
        ("levels=full", "as-is"),
    ],
)
def test_overlapped_images_are_not_moved_or_erased_or_framed(varied: str, off: str) -> None:
    key = varied.partition("=")[0]
    complaint = f"data.overlap: expected images that nothing else moves, mirrors or erases: set data.{key}={off}"
    with pytest.raises(WrongUse, match=re.escape(complaint)):
        load_recipe("multi-mnist-l2", [f"data.{varied}"])
    assert (
        load_recipe("multi-mnist-l2", ["data.overlap=0", "data.epoch_images=0", f"data.{varied}"]).data.overlap == 0
    )


def test_what_an_overlap_has_no_use_for_is_told_at_once_and_can_be_typed_as_it_is_told() -> None:
    told = "set data.shift=0, data.flip=false, data.rotation=0"
    overrides = ["data.rotation=15", "data.brightness=0.2", "data.overlap=2"]
    with pytest.raises(WrongUse, match=re.escape(told)) as error:
        load_recipe("fashion-mnist-l2-small", overrides)
    keys = re.findall(r"data\.\w+=\w+", str(error.value))
    assert load_recipe("fashion-mnist-l2-small", [*overrides, *keys]).data.overlap == 2


@pytest.mark.parametrize("override", ["data.epoch_images=128", "data.evaluation_images=500"])
def test_numbers_of_overlapped_images_want_an_overlap(override: str) -> None:
    complaint = "data.epoch_images and data.evaluation_images are for overlapped images: set data.overlap, or leave"
    with pytest.raises(WrongUse, match=re.escape(complaint)):
        load_recipe("mnist-l2", [override])
    assert load_recipe("mnist-l2", ["data.shift=0", "data.overlap=2", override]).data.overlap == 2
    assert load_recipe("mnist-l2", ["data.epoch_images=0", "data.evaluation_images=10_000"]).data.overlap == 0


def test_plain_values_without_a_name_are_wrong_use() -> None:
    with pytest.raises(WrongUse, match=r"recipe 'checkpoint': name: expected one word of letters, .* got nothing$"):
        from_values({}, source="checkpoint")


@pytest.mark.parametrize("key", ["filters=8", "kernel=3", "padding=same", "activation=leaky-relu"])
def test_a_change_that_would_change_nothing_is_refused(key: str) -> None:
    with pytest.raises(WrongUse, match=r"^network\.\w+ is for network\.stem table1, .* has stem repvgg: set netw"):
        load_recipe("edge-small", [f"network.{key}"])
    load_recipe("edge-small", ["network.stem=table1", "network.blocks=[]", "network.grid=0", f"network.{key}"])


def test_flat_values_have_the_names_that_set_knows() -> None:
    flat = to_flat_values(load_recipe("edge-nano", ["train.epochs=7", "routing.kind=l1"]))
    assert (flat["name"], flat["train.epochs"], flat["routing.kind"]) == ("edge-nano", 7, "l1")
    whole = to_values(load_recipe("edge-nano"))
    assert len(flat) == 1 + sum(len(section) for name, section in whole.items() if name != "name")


def test_a_recipes_file_of_an_earlier_capsedge_is_read_with_the_present_keys(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('extends = "mnist-l2"\n[train]\nrate = 0.5\n[routing]\nrate = 0.25\n')
    recipe = load_recipe(str(file))
    assert (recipe.train.learning_rate, recipe.routing.learning_rate) == (0.5, 0.25)
