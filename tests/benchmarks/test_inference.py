"""The ladder of factors: each rung against the one above it, round by round."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from benchmarks import inference
from benchmarks.inference import Ladder, interleaved, measured, table
from capsedge.processor import instruction_sets
from capsedge.reproduce.steps import Quartiles


def test_a_factor_is_the_median_of_the_rounds_ratios_to_the_rung_above() -> None:
    names = [("slow", ""), ("fast", "runtime"), ("faster", "collapse")]
    seconds = [[0.010, 0.020, 0.012], [0.005, 0.004, 0.004], [0.001, 0.002, 0.0005]]

    slow, fast, faster = measured(names, seconds)

    assert slow.factor is None
    assert [each.p50_ms for each in (slow, fast, faster)] == pytest.approx([12, 4, 1])
    assert fast.factor is not None
    assert [fast.factor.low, fast.factor.median, fast.factor.high] == pytest.approx([2.5, 3, 4])  # of 2, 5 and 3
    assert faster.factor is not None
    assert faster.factor.median == pytest.approx(5)  # of 5, 2 and 8
    assert faster.changes == "collapse"


def test_the_rungs_take_turns_and_each_round_begins_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "TURN_S", 0)
    order: list[str] = []
    images: list[Any] = []

    def run(name: str, image: Any) -> None:
        order.append(name)
        images.append(image)

    seconds = interleaved([lambda image: run("a", image), lambda image: run("b", image)], rounds=3)

    assert "".join(order) == "ab" + "ab" + "ba" + "ab"  # the first are to warm up
    assert [len(each) for each in seconds] == [3, 3]
    assert min(map(min, seconds)) > 0
    assert all(image.shape == (1, 28, 28, 1) and image is images[0] for image in images)


def test_the_table_has_a_line_for_each_rung_and_the_whole_way() -> None:
    rungs = tuple(measured([("slow", ""), ("fast", "runtime")], [[0.0123456], [0.001]]))
    ladder = Ladder("python -m x", ("avx2",), {}, (0.1, 0.2), rungs, Quartiles(10, 12, 14))

    lines = table(ladder).splitlines()

    assert lines[2:4] == ["| slow | 12.3 ms |  |  |", "| fast | 1 ms | 12.35 (12.35 to 12.35) | runtime |"]
    assert lines[-1] == "The last is 12.00 (10.00 to 14.00) times as fast as the first. avx2."


def test_the_networks_of_the_ladder_have_table_1s_layers_and_the_textbook_gives_the_same_lengths() -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 28, 28, 1), np.uint8)
    ours = inference._network("fashion-mnist-dynamic")
    assert sum(each.numel() for each in ours.parameters()) == 256 * 82 + 256 * (256 * 81 + 1) + 1152 * 8 * 160
    with torch.no_grad():
        wanted = inference._torch(ours, image)
        given = inference._torch(inference._textbook(inference._network("fashion-mnist-dynamic")), image)
    torch.testing.assert_close(given, wanted, atol=1e-5, rtol=1e-4)


def test_the_command_writes_the_record_of_what_it_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def idle(_: Any) -> None: ...

    monkeypatch.setattr(inference, "TURN_S", 0)
    monkeypatch.setattr(inference, "_rungs", lambda *_: iter([("slow", "", idle), ("fast", "runtime", idle)]))
    output = tmp_path / "ladder.json"
    monkeypatch.setattr(sys, "argv", ["x", "--rounds", "2", "--output", str(output)])

    inference.main()

    ladder = msgspec.json.decode(output.read_bytes(), type=Ladder)
    assert [rung.name for rung in ladder.rungs] == ["slow", "fast"]
    assert ladder.versions["torch"] == str(torch.__version__)
    assert ladder.instruction_sets == instruction_sets()
    assert capsys.readouterr().out.strip() == table(ladder)


def test_the_document_has_the_table_of_the_record() -> None:
    ladder = msgspec.json.decode((inference.ROOT / "docs/edge/inference.json").read_bytes(), type=Ladder)
    lines, _ = table(ladder).split("\n\n")
    text = (inference.ROOT / "docs/edge.md").read_text()
    assert lines in text
    whole = ladder.whole
    assert f"{whole.median:.0f} times as fast as the first ({whole.low:.0f} to {whole.high:.0f})" in text
