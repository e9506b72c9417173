"""The command: what it measures of a run and of its file, what it writes and what it says."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace as changed

from benchmarks.robustness.__main__ import main
from benchmarks.robustness.conditions import clean, shift
from benchmarks.robustness.foreign import noise_images
from benchmarks.robustness.measure import measure
from benchmarks.robustness.record import (
    ErrorDifference,
    ErrorRow,
    RobustnessReport,
    WeakAttack,
    read_report,
)
from benchmarks.robustness.subjects import MeasuredNetwork, opened
from benchmarks.robustness.table import markdown
from capsedge.data import Dataset, Split
from capsedge.data.known import SHIPPED_SUBSET
from capsedge.errors import ModelError
from capsedge.training import Run

DATA = ("--data", "fashion-mnist-subset", "--images", "60", "--attacked", "12")


@pytest.fixture(scope="session")
def report(run: Run, file: Path, tmp_path_factory: pytest.TempPathFactory) -> RobustnessReport:
    """Of the run and its file, as it was read back; the test images of the data are its foreign ones, too."""
    output = tmp_path_factory.mktemp("report") / "robustness.json"
    options = [*DATA, "--foreign", "fashion-mnist-subset", "--output", str(output)]
    assert main([str(run.path), str(file), *options]) == 0
    return read_report(output)


def errors(rows: tuple[ErrorRow, ...]) -> dict[tuple[str, float | None], float]:
    return {(row.kind, row.amount): row.error for row in rows}


def test_a_shift_of_0_has_the_error_of_the_run_and_nothing_changes(
    subject: MeasuredNetwork, subset: Dataset, run: Run
) -> None:
    conditions = (clean(), shift(0))
    found = measure([subject], subset, {}, images=10_000, attacked=0, seed=0, conditions=conditions).networks["tiny"]

    (told,) = (score.error for score in run.read_record().scores if score.split == "test")
    assert [row.error for row in found.conditions] == pytest.approx([told, told])
    assert [row.images for row in found.conditions] == [1000, 1000]
    assert found.conditions[0].standard_error == pytest.approx((told * (1 - told) / 1000) ** 0.5)
    assert (found.conditions[1].change, found.conditions[1].change_high) == (0, -found.conditions[1].change_low)
    assert found.trained_on_these
    assert found.attacks == ()
    assert found.flat is None


def test_a_file_has_the_errors_of_its_run_and_no_attacks(report: RobustnessReport) -> None:
    network, file = report.networks.values()

    assert errors(file.conditions) == pytest.approx(errors(network.conditions), abs=1 / 60 + 1e-9)
    assert [change.mean for change in file.condition_changes] == pytest.approx(
        [ours.error - theirs.error for ours, theirs in zip(file.conditions, network.conditions, strict=True)]
    )
    assert network.attacks
    assert (file.attacks, file.attack_changes) == ((), ())
    assert (network.source, file.source, network.provider) == ("run", "file", "torch")
    assert network.trained_on_these
    assert file.trained_on_these
    assert network.variations == {"shift": 2.0, "flip": 1.0}
    assert file.variations is None


def test_every_row_says_how_far_it_is_from_the_images_as_they_are(report: RobustnessReport) -> None:
    network = report.networks["tiny"]
    for rows in (network.conditions, network.attacks):
        assert rows[0].kind == "clean"
        for row in rows:
            assert row.change == pytest.approx(row.error - rows[0].error)
            assert row.change_low <= row.change + 1e-9
            assert row.change_high >= row.change - 1e-9
    assert {row.images for row in network.conditions} == {60}
    assert {row.images for row in network.attacks} == {12}


def test_the_threshold_is_chosen_on_validation_and_reported_on_test(
    report: RobustnessReport, subject: MeasuredNetwork, subset: Dataset
) -> None:
    network = report.networks["tiny"]
    chosen, reported = (subject.lengths(split.spread(60).images).max(1) for split in (subset.validation, subset.test))

    limit = network.threshold
    assert (chosen >= limit.length).sum() >= 57 > (chosen > limit.length).sum()
    assert limit.validation_kept == pytest.approx((chosen >= limit.length).mean())
    assert limit.test_kept == pytest.approx((reported >= limit.length).mean())
    noise, same = network.foreign
    lengths = subject.lengths(noise_images(subset.shape, seed=0)).max(1)
    pairs = (reported[:, None] > lengths).mean() + (reported[:, None] == lengths).mean() / 2
    assert (noise.name, noise.images) == ("noise", 1000)
    assert noise.auroc == pytest.approx(pairs, abs=1e-6)
    # The foreign images are here the test images themselves.
    assert same.auroc == pytest.approx(0.5)
    assert same.rejected == pytest.approx(1 - limit.test_kept)
    assert same.above_half == pytest.approx((reported > 0.5).mean())


def test_an_image_at_the_threshold_is_kept(subject: MeasuredNetwork, subset: Dataset) -> None:
    found = measure(
        [subject], subset, {"validation": subset.validation}, images=100, attacked=0, seed=0, conditions=(clean(),)
    ).networks["tiny"]

    assert found.threshold.validation_kept == 0.95  # no two lengths are equal, so one is the threshold
    assert found.foreign[1].rejected == pytest.approx(0.05)


def test_the_others_are_compared_with_the_first(subject: MeasuredNetwork, subset: Dataset) -> None:
    worse = replace(subject, name="worse", lengths=lambda images: subject.lengths(images)[:, ::-1], network=None)

    found = measure([subject, worse], subset, {}, images=60, attacked=0, seed=0, conditions=(clean(), shift(1)))

    first, other = found.networks.values()
    assert first.condition_changes == ()
    for ours, theirs, change in zip(other.conditions, first.conditions, other.condition_changes, strict=True):
        assert (change.kind, change.amount) == (ours.kind, ours.amount)
        assert change.mean == pytest.approx(ours.error - theirs.error)
        assert 0 < change.low < change.mean < change.high


def test_blank_images_get_the_answer_of_the_network(report: RobustnessReport, subject: MeasuredNetwork) -> None:
    for blank, value in zip(report.networks["tiny"].blanks, (0, 128, 255), strict=True):
        (lengths,) = subject.lengths(np.full((1, 28, 28, 1), value, np.uint8))
        assert blank.length == pytest.approx(float(lengths.max()), abs=1e-6)
        assert blank.answer == subject.classes[int(lengths.argmax())]
        assert blank.rejected is bool(lengths.max() < report.networks["tiny"].threshold.length)


def test_the_same_seed_gives_the_same_report(
    report: RobustnessReport, subject: MeasuredNetwork, subset: Dataset
) -> None:
    again = measure(
        [subject], subset, {"fashion-mnist-subset": subset.test}, images=60, attacked=12, seed=report.seed
    ).networks["tiny"]

    assert again == report.networks["tiny"]


@pytest.mark.parametrize("content", ["{", "[]", None])
def test_a_damaged_report_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "report.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ModelError, match="cannot be read as a report of robustness"):
        read_report(file)


def test_the_table_has_every_figure(report: RobustnessReport) -> None:
    text = markdown(report)

    network, file = report.networks.values()
    name = next(other for other in report.networks if other != "tiny")
    for ours, theirs, title in zip(
        network.conditions[:6],
        file.conditions,
        [
            *("as they are", "shift, 1 px", "shift, 2 px", "shift, 3 px", "shift, 4 px", "rotation, 5°"),
        ],
        strict=False,
    ):
        cells = (f"{100 * row.error:.2f} ± {100 * row.standard_error:.2f}" for row in (ours, theirs))
        assert f"| {title} | {' | '.join(cells)} |" in text
    for row in network.attacks:
        assert f"{100 * row.error:.2f} ± {100 * row.standard_error:.2f}" in text
    for title in ("FGSM, 1/255", "PGD, 8/255", "strongest, 0.1", "affine", "Gaussian noise, sigma 0.05"):
        assert f"| {title} |" in text
    assert "on 12 of these test images, spread evenly over them" in text
    assert f"Not attacked, since an exported file gives no gradients: {name}." in text
    assert f"noise (1,000 images): AUROC | {network.foreign[0].auroc:.4f} ±" in text
    for blanks in zip(network.blanks, file.blanks, strict=True):
        said = [f"{each.length:.3f} ({each.answer}), {'rejected' if each.rejected else 'kept'}" for each in blanks]
        assert f"| {blanks[0].name}: length | {' | '.join(said)} |" in text


def test_the_last_table_has_the_differences_from_the_first_network(report: RobustnessReport) -> None:
    first, other = report.networks.values()
    differences = (
        ErrorDifference(kind="shift", amount=2.0, mean=0.0125, low=-0.005, high=0.03),
        ErrorDifference(kind="pgd", amount=4 / 255, mean=-0.5, low=-0.625, high=-0.375),
    )
    compared = changed(other, condition_changes=differences[:1], attack_changes=differences[1:])

    text = markdown(changed(report, networks={"one": first, "two": compared}))

    _, _, last = text.partition("Error less that of one, in points (95 % interval, paired by image):")
    assert last.splitlines()[2:] == [
        "|  | two |",
        "|---|---|",
        "| shift, 2 px | +1.25 (-0.50 to +3.00) |",
        "| PGD, 4/255 | -50.00 (-62.50 to -37.50) |",
    ]


def test_findings_and_other_data_are_told_in_words(report: RobustnessReport) -> None:
    network = report.networks["tiny"]
    found = (
        WeakAttack(code="pgd-below-fgsm", epsilon=4 / 255, error=0.25, beside=0.5),
        WeakAttack(code="pgd-withstood", epsilon=0.3, error=0.75, beside=0.99),
        WeakAttack(code="all-withstood", epsilon=0.3, error=0.875, beside=0.99),
        WeakAttack(code="margin-loss-misses", epsilon=0.1, error=0.125, beside=0.625),
    )
    odd = changed(network, findings=found, trained_on="other garments", trained_on_these=False)

    text = markdown(changed(report, networks={"tiny": odd}))

    assert "tiny: at 4/255 PGD has an error of 25.00 % and FGSM, which is weaker, one of 50.00 %." in text
    assert "tiny: at 0.3 PGD on the training's loss has an error of 75.00 % only, where 99.00 % or more" in text
    assert "tiny: at 0.3 all attacks together have an error of 87.50 % only, where 99.00 % or more" in text
    assert "at 0.1 PGD on the training's loss has an error of 12.50 %, and all attacks together 62.50 %." in text
    assert "tiny was trained on other images (other garments)" in text
    assert "Not attacked" not in text
    assert "Error less that of" not in text


def test_networks_of_one_name_are_told_apart_by_their_paths(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.path.parent)
    options = ["--data", "fashion-mnist-subset", "--images", "5", "--attacked", "0"]

    assert main(["tiny", str(run.path), *options]) == 0

    assert f"|  | tiny | {run.path} |" in capsys.readouterr().out


def test_foreign_images_of_one_name_are_told_apart_and_the_same_twice_is_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", "fashion-mnist-subset", "--images", "5", "--attacked", "0"]
    folders = [tmp_path / "one" / "set", tmp_path / "other" / "set"]
    for folder in folders:
        shutil.copytree(SHIPPED_SUBSET, folder)
    foreign = [word for folder in folders for word in ("--foreign", str(folder))]

    assert main([str(file), *options, *foreign]) == 0
    told = capsys.readouterr().out
    assert all(f"{folder} (5 images): AUROC" in told for folder in folders)
    assert main([str(file), str(file), *options]) == 2
    assert main([str(file), *options, *foreign, *foreign]) == 2
    assert capsys.readouterr().err.count("is given 2 times: give it once") == 2


def test_foreign_images_do_not_take_the_name_of_the_noise_images(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SHIPPED_SUBSET, tmp_path / "noise")

    assert main([str(file), *DATA, "--foreign", str(tmp_path / "noise")]) == 2

    (line,) = [line for line in capsys.readouterr().err.splitlines() if "--foreign" in line]
    assert line.endswith("has the name 'noise', which the record uses for random images: rename the folder")


def test_a_network_of_other_classes_or_another_size_is_refused(subject: MeasuredNetwork, subset: Dataset) -> None:
    with pytest.raises(ModelError, match=r"'tiny' expects images of 36 x 36 x 1, got 28 x 28 x 1"):
        measure([replace(subject, shape=(36, 36, 1))], subset, {}, images=5, attacked=0, seed=0)
    with pytest.raises(ModelError, match=r"'tiny' expects the classes cat, dog, got t-shirt, trouser"):
        measure([replace(subject, classes=("cat", "dog"))], subset, {}, images=5, attacked=0, seed=0)


@pytest.mark.parametrize(
    ("data", "data_sha256"), [("{here}", "of others"), ("others", None)], ids=["by hash", "by words"]
)
def test_a_network_of_other_images_is_told(
    subject: MeasuredNetwork, subset: Dataset, data: str, data_sha256: str | None
) -> None:
    other = replace(subject, data=data.format(here=subset.description), data_sha256=data_sha256)

    found = measure([other], subset, {}, images=5, attacked=0, seed=0, conditions=(clean(),)).networks["tiny"]

    assert not found.trained_on_these


def test_what_is_no_model_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), *DATA]) == 1
    assert "is not a run: it has no run.json" in capsys.readouterr().err
    with pytest.raises(ModelError, match="there is no model at"), opened(tmp_path / "gone.onnx"):
        pass


@pytest.mark.parametrize("options", [["--images", "0"], ["--attacked", "-1"], ["--seed", "x"], ["--images", "1.5"]])
def test_a_number_that_cannot_be_meant_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", *options])

    assert ended.value.code == 2
    assert "expected an integer" in capsys.readouterr().err


def test_the_images_of_a_part_are_spread_over_it(subject: MeasuredNetwork, subset: Dataset) -> None:
    """A folder's images lie class by class: the first ones would all be of one class."""
    order = np.argsort(subset.test.labels, kind="stable")
    sorted_by_class = replace(subset, test=Split(subset.test.images[order], subset.test.labels[order]))
    seen: list[int] = []

    def lengths(
        images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        seen.append(len(images))
        return subject.lengths(images)

    report = measure(
        [replace(subject, lengths=lengths)], sorted_by_class, {}, images=50, attacked=0, seed=0, conditions=(clean(),)
    )

    whole = subject.lengths(subset.test.images[order][:: len(order) // 50])
    wrong = (whole.argmax(1) != np.sort(subset.test.labels)[:: len(order) // 50]).mean()
    assert report.networks["tiny"].conditions[0].error == pytest.approx(float(wrong))
    assert max(seen) == 1000  # the noise images
