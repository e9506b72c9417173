"""The tables of a record with given numbers."""

from benchmarks.ablation.cost import NetworkCost
from benchmarks.ablation.record import AblationReport, Study, Training, VariantResult
from benchmarks.ablation.table import markdown
from capsedge.statistics import Difference, MeanSpread

COST = NetworkCost(
    parameters=88_870, macs=982_102, head_parameters=61_462, head_macs=61_462, head_shapes=((79, 768), (10, 79))
)


def training(seed: int) -> Training:
    return Training(
        seed=seed,
        best_epoch=11 + seed,
        validation_error=0.07,
        test_error=0.075,
        seconds=100.0 + 2 * seed,
        precision="fp32",
        device="cpu",
        versions={"torch": "2"},
    )


def report(study: Study, *, changed: bool) -> AblationReport:
    row = VariantResult(
        name="one",
        changes=("data.shift=0",) if changed else (),
        cost=COST,
        trainings=(training(0), training(1)),
        validation_error=MeanSpread(0.07, 0.00125, 2),
        test_error=MeanSpread(0.075, None, 1) if study == "heads" else None,
        validation_change=Difference(0.0125, -0.005, 0.03) if changed else None,
        test_change=Difference(-0.5, -0.625, -0.375) if changed and study == "heads" else None,
    )
    return AblationReport(
        study=study,
        command=f"python -m benchmarks.ablation {study}",
        network="edge-nano",
        settings=("data.shift=1",),
        epochs=12,
        seeds=(0, 1, 2),
        data="garments",
        data_sha256="",
        validation_images=5000,
        test_images=10_000 if study == "heads" else 0,
        rows=(row,),
        versions={"torch": "2", "python": "3"},
        processor=None,
    )


def test_the_table_of_parts_has_every_figure() -> None:
    text = markdown(report("parts", changed=True))

    assert (
        "| one | `data.shift=0` | 88,870 | 0.982 | 11, 12 | 7.00 ± 0.12 | +1.25 (-0.50 to +3.00) | 101 |"
    ) in text.splitlines()
    assert "`edge-nano` with `data.shift=1`, 12 epochs, seeds 0, 1, 2. garments. an unknown processor;" in text
    assert "torch 2, python 3." in text
    assert "chosen by the 5,000 validation images. Errors" in text
    assert "Not all seeds are finished of: one." in text
    assert "test" not in text


def test_the_table_of_heads_has_every_figure() -> None:
    text = markdown(report("heads", changed=True))

    assert (
        "| one | 79 x 768, 10 x 79 | 88,870 | 61,462 | 0.982 | 0.061 | 11, 12 | 7.00 ± 0.12 "
        "| +1.25 (-0.50 to +3.00) | 7.50 | -50.00 (-62.50 to -37.50) | 101 |"
    ) in text.splitlines()
    assert "; nothing was chosen by the 10,000 test images." in text


def test_the_base_has_no_difference() -> None:
    assert "| 7.00 ± 0.12 |  | 101 |" in markdown(report("parts", changed=False))
