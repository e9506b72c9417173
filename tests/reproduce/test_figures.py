"""The figures: their numbers against slow computations, and a PNG that is drawn from nothing but its JSON."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from capsedge.data import decode_image, load_dataset
from capsedge.errors import DataError, WrongUse
from capsedge.measure.machine import Conditions
from capsedge.recipe import Recipe, RoutingKind
from capsedge.reproduce import fig1, fig2, fig3, fig4, redraw, save_figure
from capsedge.reproduce.capsule_lengths import MOST_IMAGES, Fig1
from capsedge.reproduce.convergence import Curve, Fig3, draw
from capsedge.reproduce.drawing import COLOURS, mosaic
from capsedge.reproduce.figures import Content, rows
from capsedge.reproduce.reconstructions import class_means, reconstruct, rightly_classified, squared_error
from capsedge.reproduce.steps import PeakMemory
from capsedge.training import Run, lengths_of
from tests.reproduce.conftest import TINY, MakeSettings, Watched
from tests.tiny import tiny_recipe, train_tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = tiny_recipe("train.epochs=1", "network.decoder=[16]")
    return train_tiny(tmp_path_factory.mktemp("runs") / "mine", recipe)


def assert_redrawn_from_json_alone(content: Content, out: Path) -> None:
    """The PNG is the same after the JSON went to another folder, and no other size than a reader can use."""
    files = save_figure(content, out / "first")
    elsewhere = out / "second" / files.json.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(files.json.read_bytes())
    again, png = redraw(elsewhere)
    assert again == content
    assert png.read_bytes() == files.png.read_bytes()
    with Image.open(png) as image:
        assert image.width >= 600
    header, lines = rows(content)
    assert lines
    assert all(len(line) == len(header) for line in lines)


def test_fig1_shows_the_lengths_that_the_run_gives(run: Run, tmp_path: Path) -> None:
    content = fig1([], model=str(run.path))
    dataset = run.load_dataset()
    assert [pictured.labels for pictured in content.images] == [(name,) for name in dataset.classes]
    for pictured in content.images:
        index = int(pictured.title.split()[-1])
        assert dataset.classes[dataset.test.labels[index]] == pictured.labels[0]
        image = dataset.test.images[index]
        assert np.array_equal(pictured.pixels.array(), image)
        with torch.no_grad():
            lengths = run.load_best()(torch.from_numpy(image / 255).permute(2, 0, 1)[None].float()).lengths[0]
        assert pictured.lengths == pytest.approx(lengths.tolist(), abs=1e-5)
    assert_redrawn_from_json_alone(content, tmp_path)


def test_fig1_takes_image_files_and_fits_them(run: Run, tmp_path: Path) -> None:
    Image.fromarray(np.full((56, 56), 200, np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.zeros((28, 28, 3), np.uint8)).save(tmp_path / "black.png")
    content = fig1([tmp_path / "grey.png", tmp_path], model=str(run.path))
    assert [pictured.title for pictured in content.images] == ["grey.png", "black.png", "grey.png"]
    assert [pictured.labels for pictured in content.images] == [()] * 3
    assert content.images[0].pixels.array().shape == (28, 28, 1)
    assert content.images[0].pixels.array().min() == 200
    assert_redrawn_from_json_alone(content, tmp_path)


def test_fig1_asks_an_exported_model_too() -> None:
    """The built-in model; its class is what its runtime says."""
    from capsedge.runtime.models import find_model
    from capsedge.runtime.open import open_session

    sample = sorted((Path(__file__).parents[2] / "samples").glob("sneaker*.png"))
    content = fig1(sample)
    with open_session(find_model()) as session:
        image = np.array(decode_image(sample[0]), np.uint8).reshape(1, 28, 28, 1)
        assert content.images[0].lengths == pytest.approx(session.run(image).lengths[0].tolist(), abs=1e-5)
    assert content.model == "fashion-mnist (built in)"
    assert rows(content)[1][0][:2] == ["sneaker-1078.png", "sneaker"]


def test_fig1_refuses_more_images_than_a_page_holds(run: Run, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(WrongUse, match=f"at most {MOST_IMAGES} images, got {MOST_IMAGES + 1}"):
        fig1([tmp_path / "a.png"] * (MOST_IMAGES + 1), model=str(run.path))


def test_fig1_does_not_set_test_images_before_a_network_of_other_classes(run: Run, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for number in range(4):
                Image.fromarray(np.full((28, 28), 9 * number, np.uint8)).save(folder / f"{number}.png")
    with pytest.raises(WrongUse, match="has other classes than data set 'pets'"):
        fig1([], model=str(run.path), data=str(tmp_path / "pets"))


def test_fig2_trains_both_networks_and_draws_three_panels(make_settings: MakeSettings, tmp_path: Path) -> None:
    watched = Watched()
    content = fig2(make_settings(watch=watched))
    assert [Path(title.split()[0]).name for title in watched.titles] == [
        "paper-fashion-mnist-subset-dynamic-small-epochs1-seed0",
        "paper-fashion-mnist-subset-l2-fc-small-epochs1-seed0",
    ]
    inputs, own, foreign = (panel.pixels.array() / 255 for panel in content.panels)
    assert inputs.shape == own.shape == foreign.shape == (len(content.labels), 28, 28, 1)
    for panel, drawn in zip(content.panels[1:], (own, foreign), strict=True):
        slow = sum((a - b) ** 2 for a, b in zip(drawn.flat, inputs.flat, strict=True)) / inputs.size
        assert panel.squared_error == pytest.approx(slow, abs=2e-3)  # pixels were rounded to 255 steps
    assert not np.array_equal(own, foreign)
    assert_redrawn_from_json_alone(content, tmp_path)


def test_the_chosen_images_are_rightly_classified_and_ordered_by_class(run: Run) -> None:
    dataset = run.load_dataset()
    chosen = rightly_classified(run.load_best(), dataset, count=50)
    labels = dataset.test.labels[chosen]
    answers = lengths_of(run.load_best(), dataset.test, torch.device("cpu")).numpy().argmax(axis=1)
    assert np.array_equal(answers[chosen], labels)
    assert np.array_equal(labels, np.sort(labels))
    for label in range(10):
        right = [index for index in range(1000) if dataset.test.labels[index] == answers[index] == label]
        assert chosen[labels == label].tolist() == right[:5]


def test_a_decoder_draws_the_label_s_capsule_alone(run: Run) -> None:
    """Against a pass by hand: the pose of one class in its place, zeros elsewhere."""
    network, dataset = run.load_best(), run.load_dataset()
    assert network.decoder is not None
    images, labels = dataset.test.images[:6], dataset.test.labels[:6]
    drawn = reconstruct(network.decoder, network, images, labels)
    with torch.no_grad():
        for image, label, got in zip(images, labels, drawn, strict=True):
            pose = network(torch.from_numpy(image / 255).permute(2, 0, 1)[None].float()).poses[0, label]
            lone = torch.zeros(10, 4)
            lone[label] = pose
            expected = network.decoder.layers(lone.reshape(1, 40)).reshape(28, 28, 1)
            assert np.allclose(got, expected.numpy(), atol=1e-5)


def test_the_mean_image_of_a_class_is_the_mean_of_its_training_images() -> None:
    dataset = load_dataset("fashion-mnist-subset")
    train = dataset.train
    members = [train.images[i] / 255 for i in range(len(train)) if train.labels[i] == 4]  # type: ignore[union-attr]
    assert np.allclose(class_means(dataset)[4], sum(members) / len(members))
    assert squared_error(np.full((1, 2, 1, 1), 0.5), np.array([[[[0]], [[255]]]], np.uint8)) == 0.25


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": (0, 1)}, "--seed: expected one seed, got 2"),
        ({"more": ("data.crop=20",)}, "expected single, uncropped images"),
    ],
)
def test_fig2_refuses_what_it_cannot_draw(
    changes: dict[str, object], words: str, make_settings: MakeSettings
) -> None:
    with pytest.raises(WrongUse, match=words):
        fig2(make_settings(**changes))


def test_fig3_shows_the_validations_of_every_kind_and_seed(make_settings: MakeSettings, tmp_path: Path) -> None:
    content = fig3(make_settings(seeds=(0, 1)), kinds=["l2", "dynamic"])
    assert [each.kind for each in content.curves] == ["dynamic", "l2"]
    for each in content.curves:
        assert each.steps == (4, 8)  # two validations in the 8 batches of 200 of 1,600 images
        for seed, path in enumerate(each.runs):
            lines = [msgspec.json.decode(line) for line in (Path(path) / "metrics.jsonl").read_bytes().splitlines()]
            errors = tuple(line["error"] for line in lines if line["kind"] == "validation")
            assert each.errors[seed] == errors
            (test,) = (line["error"] for line in lines if line["kind"] == "test")
            assert each.test_errors[seed] == test
    assert (content.epochs, content.recipe_epochs, content.changes) == (1, 10, TINY)
    assert_redrawn_from_json_alone(content, tmp_path)


@pytest.fixture
def drawn() -> Fig3:
    """Two kinds, two seeds, three validations, in numbers that are easy to check."""
    kinds: dict[RoutingKind, tuple[tuple[float, ...], ...]] = {
        "dynamic": ((0.5, 0.2, 0.1), (0.7, 0.2, 0.2)),
        "l1": ((0.4, 0.2, 0.1), (0.4, 0.1, 0.1)),
    }
    return Fig3(
        data="some",
        width="small",
        changes=(),
        decoder=False,
        batch_size=8,
        epochs=3,
        recipe_epochs=3,
        seeds=(0, 1),
        validation_images=10,
        curves=tuple(
            Curve(kind=kind, steps=(5, 10, 15), errors=errors, test_errors=(0.1, 0.2), runs=("a", "b"))
            for kind, errors in kinds.items()
        ),
    )


def test_the_lines_are_means_over_the_seeds_and_the_lower_panel_their_distance_from_dynamic(drawn: Fig3) -> None:
    above, below = draw(drawn).axes
    lines = {str(line.get_label()).partition(":")[0]: line for line in above.get_lines()}
    assert np.asarray(lines["dynamic"].get_ydata()) == pytest.approx([60, 20, 15])
    assert np.asarray(lines["l1"].get_ydata()) == pytest.approx([40, 15, 10])
    assert lines["l1"].get_color() == COLOURS["l1"]
    assert str(lines["dynamic"].get_label()) == "dynamic: 15.00 %"
    assert np.asarray(below.get_lines()[0].get_ydata()) == pytest.approx([-20, -5, -5])
    assert below.get_xlabel() == "training steps (batches of 8 images)"


def test_without_dynamic_routing_there_is_nothing_to_be_distant_from(drawn: Fig3) -> None:
    alone = msgspec.structs.replace(drawn, curves=drawn.curves[1:])
    (axes,) = draw(alone).axes
    assert axes.get_xlabel() == "training steps (batches of 8 images)"


def test_fig4_times_every_kind_and_measures_its_memory(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peak_memory(recipe: Recipe, *, device: str) -> PeakMemory:  # the true one is tested in test_steps.py
        assert device == "cpu"
        before = {"dynamic": 300, "frozen": 200}[recipe.routing.kind]
        return PeakMemory(before_bytes=before * 10**6, peak_bytes=500 * 10**6)

    monkeypatch.setattr("capsedge.reproduce.step_times.peak_memory", peak_memory)
    shares: list[float] = []
    content = fig4(make_settings(), kinds=["dynamic", "frozen"], rounds=3, progress=shares.append)
    assert [(each.kind, len(each.seconds)) for each in content.kinds] == [("dynamic", 3), ("frozen", 3)]
    assert [each.memory.before_bytes for each in content.kinds if each.memory] == [300_000_000, 200_000_000]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert (content.batch_size, content.device, content.decoder) == (200, "cpu", False)
    assert not (tmp_path / "runs").exists()
    header, lines = rows(content)
    assert header[3] == "x dynamic"
    assert lines[0][3] == "1.000"
    assert_redrawn_from_json_alone(content, tmp_path)


def test_fig4_refuses_a_batch_that_is_larger_than_the_data_before_it_measures(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capsedge.reproduce.step_times.peak_memory", None)
    with pytest.raises(WrongUse, match=r"train\.batch_size = 1601 training images, got 1600: set a smaller"):
        fig4(make_settings(more=("train.batch_size=1601",)), kinds=["l2"])


def test_fig4_draws_without_memory_where_the_system_tells_none(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capsedge.reproduce.step_times.peak_memory", lambda *_, **__: None)
    content = fig4(make_settings(), kinds=["frozen"], rounds=1)
    assert_redrawn_from_json_alone(content, tmp_path)
    assert rows(content)[1][0][-1] == "-"


def test_fig4_warns_of_a_machine_that_others_keep_busy(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capsedge.reproduce.step_times.peak_memory", lambda *_, **__: None)
    monkeypatch.setattr("capsedge.reproduce.step_times.measure", lambda *_, **__: {"frozen": [1.0]})
    found = []
    for load in (0.0, 1000.0):
        conditions = Conditions(load_average=load)
        monkeypatch.setattr("capsedge.reproduce.step_times.conditions", lambda read=conditions: read)
        found.append(fig4(make_settings(), kinds=["frozen"], rounds=1).warnings)
    assert found[0] == ()
    assert [warning.code for warning in found[1]] == ["busy"]


@pytest.mark.parametrize("name", ["fig3", "fig4"])
def test_the_results_that_are_published_can_be_drawn_again(name: str) -> None:
    published = Path(__file__).parents[2] / "docs" / "reproduce" / f"{name}.json"
    content = msgspec.json.decode(published.read_bytes(), type=Content)
    assert rows(content)[1]


def test_a_mosaic_lays_images_out_in_rows() -> None:
    images = np.stack([np.full((2, 3, 1), value, np.uint8) for value in (10, 20, 30)])
    sheet = mosaic(images, columns=2, gap=1)[..., 0]
    assert sheet.tolist() == [
        [10, 10, 10, 255, 20, 20, 20],
        [10, 10, 10, 255, 20, 20, 20],
        [255, 255, 255, 255, 255, 255, 255],
        [30, 30, 30, 255, 255, 255, 255],
        [30, 30, 30, 255, 255, 255, 255],
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no .*fig3.json': run this without --redraw first"),
        (b"{", "is damaged or not a figure"),
        (b'{"kind":"fig9"}', "is damaged or not a figure"),
        (
            b'{"kind":"fig1","model":"m","classes":[],"images":[]}',
            "expected the numbers of fig3 in .*, got those of fig1",
        ),
    ],
)
def test_what_is_no_figure_is_not_drawn(content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "fig3.json").write_bytes(content)
    with pytest.raises(DataError, match=words):
        redraw(tmp_path / "fig3.json")
    assert not (tmp_path / "fig3.png").exists()


def test_images_and_a_data_set_of_test_images_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="--data is for test images"):
        fig1([tmp_path], data="mnist")


def test_figures_need_no_display_and_leave_matplotlib_as_it_was(run: Run, tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    content: Fig1 = fig1([], model=str(run.path))
    save_figure(content, tmp_path)
    assert dict(matplotlib.rcParams) == before
