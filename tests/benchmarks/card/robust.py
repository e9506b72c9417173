"""A small report of robustness, of the network of a name and of another one."""

from benchmarks.robustness.record import Blank, ErrorRow, ForeignRow, NetworkRecord, RobustnessReport, Threshold


def report_of(*names: str) -> RobustnessReport:
    conditions = (
        ErrorRow(
            kind="clean",
            amount=None,
            images=8,
            error=0.25,
            standard_error=0.15,
            change=0,
            change_low=0,
            change_high=0,
        ),
        ErrorRow(
            kind="shift",
            amount=1,
            images=8,
            error=0.5,
            standard_error=0.18,
            change=0.25,
            change_low=0,
            change_high=0.5,
        ),
    )
    network = NetworkRecord(
        source="run",
        provider="torch",
        recipe="tiny",
        routing="l2",
        trained_on="Fashion-MNIST",
        trained_on_these=True,
        variations={"shift": 2},
        conditions=conditions,
        attacks=(),
        flat=None,
        findings=(),
        threshold=Threshold(
            length=0.625,
            validation_images=8,
            validation_kept=1,
            test_images=8,
            test_kept=0.875,
            test_kept_standard_error=0.1,
        ),
        blanks=(Blank(name="black", length=0.125, answer="bag", rejected=True),),
        foreign=(
            ForeignRow(
                name="noise",
                images=4,
                above_half=0.25,
                above_half_standard_error=0.2,
                auroc=0.75,
                auroc_standard_error=0.1,
                rejected=0.5,
                rejected_standard_error=0.25,
            ),
        ),
        condition_changes=(),
        attack_changes=(),
    )
    return RobustnessReport(
        data="Fashion-MNIST",
        data_sha256="0" * 64,
        test_images=8,
        attacked_images=0,
        seed=0,
        steps=20,
        networks=dict.fromkeys(names, network),
        versions={"torch": "2"},
        processor=None,
    )
