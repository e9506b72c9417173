"""The page for people."""

from benchmarks.prove.record import Proof, Record, Status
from benchmarks.prove.table import markdown, table


def record(name: str, status: Status, group: str = "training", **data: object) -> Record:
    return Record(group=group, name=name, path="capsedge", status=status, seconds=1.0, detail="seen", data=data)


def page(*records: Record) -> str:
    return markdown(
        Proof(
            capsedge="0.1.0",
            commit="abc+",
            started="2026-11-22 12:00 UTC",
            command=("--quick",),
            gpu="Orin (sm87)",
            environment={"NVIDIA_TF32_OVERRIDE": "0"},
            records=records,
        )
    )


def test_a_group_has_a_row_for_each_state() -> None:
    text = page(record("a", "passed"), record("b", "failed"), record("c", "passed"), record("d", "not possible here"))
    rows = [line for line in text.splitlines() if line.startswith("| training |")]
    assert rows == [
        "| training | passed | a, c |",
        "| training | **failed** | b |",
        "| training | not possible here | d |",
    ]


def test_the_head_says_where_when_and_how() -> None:
    head = page().splitlines()
    assert head[0] == "# The proof on Orin (sm87)"
    assert head[2] == (
        "capsedge 0.1.0 (abc+), 2026-11-22 12:00 UTC, `python -m benchmarks.prove --quick`, NVIDIA_TF32_OVERRIDE=0."
    )


def test_latencies_are_columns_of_batches() -> None:
    def row(label: str, mean_ms: float, faster: float | None) -> dict[str, object]:
        ratios = {"faster_than_fp32": faster, "faster_than_dynamic": None}
        return {"label": label, "provider": "P", "mean_ms": mean_ms, **ratios}

    one = record("batch 1", "passed", "latency", batch=1, rows=[row("fp32", 2.0, 1.0), row("int8", 0.5, 4.0)])
    many = record("batch 8", "passed", "latency", batch=8, rows=[row("fp32", 16.0, 1.0), row("int8", 8.0, 2.0)])
    lines = page(one, many).splitlines()
    start = lines.index("|  | batch 1 | batch 8 |")
    assert lines[start + 2 : start + 4] == [
        "| fp32 (P) | 2.000 (1.00, -) | 16.000 (1.00, -) |",
        "| int8 (P) | 0.500 (4.00, -) | 8.000 (2.00, -) |",
    ]


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(("a", "b"), [("x|y", "z")]).splitlines()[-1] == "| x&#124;y | z |"
