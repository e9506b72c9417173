"""Images that show two classes: the contract says so, the golden sample has both, and the gate asks for both."""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from capsedge.contract import METADATA_KEY, Contract, Golden, Verdict
from capsedge.errors import GateRejected
from capsedge.export import export_run, gate_model
from capsedge.export.contract import CLEAR_MARGIN, Pool, build_contract, golden_pool, golden_sample
from capsedge.export.gate import TOLERANCES, Answers, Judgement, Reference, answers_of, judge
from capsedge.golden import unpack_images
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Outputs
from capsedge.runtime.verify import verify
from capsedge.training import Run, dataset_of
from tests.export.exact import exact_lengths
from tests.export.sessions import LengthsOnly
from tests.export.typed_files import contract_in, verdict_in
from tests.tiny import tiny_recipe, train_tiny

OVERLAPPED = (
    "data.shift=0",
    "data.flip=false",
    "data.overlap=2",
    "data.epoch_images=512",
    "network.decoder=[]",
    "train.epochs=2",
    "routing.sigma=0.1",
)


@pytest.fixture(scope="module")
def overlapped(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run on overlapped images with its accepted model.onnx."""
    recipe = tiny_recipe(*OVERLAPPED, "data.evaluation_images=300")
    run = train_tiny(tmp_path_factory.mktemp("overlapped") / "run", recipe, dataset_of(recipe.data))
    export_run(run)
    return run


@pytest.fixture
def contract(overlapped: Run) -> Contract:
    return contract_in(overlapped.path / "model.onnx")


def test_the_files_error_is_that_of_the_exact_match_of_two_classes(overlapped: Run, contract: Contract) -> None:
    split = overlapped.load_dataset().test
    with open_session(overlapped.path / "model.onnx") as session:
        lengths = session.run(split.images).lengths
    right = 0
    for row, wanted in zip(lengths, split.labels, strict=True):
        first, second, *_ = sorted(range(10), key=lambda label: -row[label])
        right += {first, second} == set(wanted.tolist())
    scores = {(score.stage, score.split): score.error for score in contract.scores}
    assert scores["fp32", "test"] == pytest.approx(1 - right / len(split))
    assert scores["trained", "test"] == pytest.approx(scores["fp32", "test"], abs=0.01)
    assert verdict_in(contract).top1_agreement == 1


def test_golden_images_show_two_classes_each_and_every_class_twice_or_more(
    overlapped: Run, contract: Contract
) -> None:
    golden = contract.golden
    validation = overlapped.load_dataset().validation
    held_out = {image.tobytes(): tuple(row) for image, row in zip(validation.images, validation.labels, strict=True)}
    images = unpack_images(golden, contract.input.shape)
    assert [held_out[image.tobytes()] for image in images] == list(golden.labels)
    assert len({image.tobytes() for image in images}) == len(images)
    assert min(np.bincount(np.array(golden.labels).ravel())) >= 2


def test_golden_images_have_a_second_class_that_is_clear_of_the_third(overlapped: Run) -> None:
    split = overlapped.load_dataset().validation
    network = overlapped.load_best()
    margins = [second - third for _, second, third, *_ in map(descending, exact_lengths(network, split.images))]
    tolerance = float(np.median(margins)) / CLEAR_MARGIN  # half of the images are clear, and some of every class

    lengths = answers_of(network.float(), split.images).lengths
    golden = golden_sample(Pool(split, lengths), tolerance=tolerance)

    for _, second, third, *_ in map(descending, golden.lengths):
        assert second - third > CLEAR_MARGIN * tolerance


def descending(lengths: Iterable[float]) -> list[float]:
    return sorted(lengths, reverse=True)


def test_every_class_is_in_the_golden_sample_where_there_is_one_validation_image(tmp_path: Path) -> None:
    recipe = tiny_recipe(*OVERLAPPED, "data.evaluation_images=1", "train.epochs=1")
    dataset = dataset_of(recipe.data)
    assert len(dataset.validation) == 1
    run = train_tiny(tmp_path / "run", recipe, dataset)
    export_run(run, tmp_path / "model.onnx")
    network = run.load_best()
    pool = golden_pool(network, dataset, answers_of(network, dataset.validation.images).lengths)
    exported = contract_in(tmp_path / "model.onnx")
    assert exported.usual is not None
    golden = build_contract(run, tmp_path / "model.onnx", network, pool, exported.usual, dataset=dataset.title).golden
    assert min(np.bincount(np.array(golden.labels).ravel(), minlength=10)) >= 2


def test_verify_replays_it(overlapped: Run) -> None:
    with open_session(overlapped.path / "model.onnx") as session:
        found = verify(session)
    assert found.ok
    assert found.same_class == found.images >= 10


def swapped_class_names(contract: Contract) -> Contract:
    first, second, *rest = contract.classes
    return msgspec.structs.replace(contract, classes=(second, first, *rest))


def one_label(contract: Contract) -> Contract:
    golden = msgspec.structs.replace(contract.golden, labels=tuple(row[0] for row in pairs(contract.golden)))
    return msgspec.structs.replace(contract, labels=1, golden=golden)


def pairs(golden: Golden) -> list[tuple[int, ...]]:
    return [row for row in golden.labels if isinstance(row, tuple)]


def the_same(contract: Contract) -> Contract:
    return contract


@pytest.mark.parametrize(
    ("change", "weight", "reason"),
    [
        (swapped_class_names, 0.0, r"its contract has classes \('trouser', 't-shirt'"),
        (one_label, 0.0, "its contract has labels 1, but the run has 2"),
        (the_same, 1.0, "a length differs by"),
    ],
)
def test_a_file_that_was_changed_is_rejected(
    change: Callable[[Contract], Contract], weight: float, reason: str, overlapped: Run, tmp_path: Path
) -> None:
    with pytest.raises(GateRejected, match=reason):
        gate_model(changed(overlapped, tmp_path, change, weight), overlapped)


def test_a_file_that_was_only_written_anew_is_accepted(overlapped: Run, tmp_path: Path) -> None:
    contract = gate_model(changed(overlapped, tmp_path, the_same, 0.0), overlapped)
    assert verdict_in(contract).status == "accepted"


def changed(run: Run, folder: Path, change: Callable[[Contract], Contract], weight: float) -> Path:
    """The run's model with another contract, and something added to the weights of the second class."""
    model = onnx.load_model(str(run.path / "model.onnx"))
    entry = next(prop for prop in model.metadata_props if prop.key == METADATA_KEY)
    entry.value = msgspec.json.encode(change(msgspec.json.decode(entry.value, type=Contract))).decode()
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "capsules.weight")
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[:, 4:8] += weight
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save_model(model, str(folder / "model.onnx"))
    return folder / "model.onnx"


class TableSession(LengthsOnly):
    """A file in name only, which gives lengths from a table; an image's pixels are its row."""

    name, file, provider, batch_limits = "table", Path("table.onnx"), "table", None

    def __init__(self, contract: Contract, table: NDArray[np.float32]) -> None:
        self.contract = contract
        self.table = table

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        return Outputs(self.table[images[:, 0, 0, 0]], np.zeros((len(images), self.table.shape[1], 4), np.float32))


TRUTH = (0.9, 0.6, 0.5999, 0.1)  # the second and the third tie


def judged(contract: Contract, given: tuple[float, ...], labels: tuple[int, int] = (0, 1)) -> Judgement:
    """Judge a file of four classes that gives other lengths than TRUTH for the one image that there is."""
    image, blank = np.full((1, 1, 1, 1), 7, np.uint8), np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    table = np.zeros((256, 4), np.float32)
    table[7] = TRUTH
    wanted, black_and_white = (Answers(each, table[each[:, 0, 0, 0]], flat(each)) for each in (image, blank))
    expected = Reference(contract, np.array([labels], np.int64), wanted, black_and_white)
    table[7] = given
    return judge(TableSession(contract, table), expected, TOLERANCES["fp32"])


def flat(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Poses of four classes, for each image the same."""
    return np.zeros((len(images), 4, 4), np.float32)


@pytest.mark.parametrize(
    ("given", "agreement"),
    [
        pytest.param(TRUTH, 1, id="the same lengths"),
        pytest.param((0.6, 0.9, 0.55, 0.1), 1, id="the two in the other order"),
        pytest.param((0.9, 0.56, 0.59, 0.1), 1, id="a tie for the second place"),
        pytest.param((0.9, 0.1, 0.55, 0.6), 0, id="another second"),
        pytest.param((0.1, 0.6, 0.55, 0.9), 0, id="another first"),
        pytest.param((0.5, 0.6, 0.55, 0.1), 0, id="the first is missing and the third ties with the second"),
    ],
)
def test_the_same_answer_is_the_same_set_of_two_classes(
    given: tuple[float, ...], agreement: int, contract: Contract
) -> None:
    verdict = judged(contract, given).verdict
    assert isinstance(verdict, Verdict)
    assert verdict.top1_agreement == agreement
    missing = "the answer is the same on 0.00 % of the images, not 99.9 %"
    assert (missing in verdict.reasons) == (agreement == 0)


@pytest.mark.parametrize(("labels", "error"), [((0, 1), 0), ((1, 0), 0), ((0, 2), 1), ((1, 3), 1)])
def test_an_answer_with_one_of_two_classes_is_wrong(labels: tuple[int, int], error: int, contract: Contract) -> None:
    judgement = judged(contract, TRUTH, labels)
    assert judgement.error == error
    failed = judgement.verdict.failed_training
    assert (failed is not None) == bool(error)
    if failed is not None:
        assert failed.code == "at-chance"
        assert failed.chance == pytest.approx(44 / 45)  # ten classes have 45 sets of two
