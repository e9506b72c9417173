"""What the documents say of the study's results, computed again from the JSON and the tables it comes from."""

import json
import re
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import routing
from benchmarks.routing import epochs_of, for_good, keep_scores, ranks
from capsedge.reproduce.published import PUBLISHED

ROOT = Path(__file__).parent.parent.parent
STUDY = ROOT / "docs" / "routing"
IMAGES = 5000  # of validation: an error is a count of mistakes over them
PARTS = ("validation", "test")
ORDINALS = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th")
PAPER = PUBLISHED["fashion-mnist"]

# The rows of docs/routing.md's two tables of the sieve, in their order.
SIEVE = [
    *("frozen", "l2", "l1", "backprop", "dynamic", "l2-adam-1e-3", "l2-adam-5e-3", "l2-ascent-1e-2", "l2-ascent-1"),
    *("l2-squashed-1e-3", "l2-lambda-1e-1", "l2-nr-3", "l2-nb-2", "frozen-nb-2"),
]
SCALES = [
    *("frozen", "frozen-b0-0.1", "dynamic-1", "dynamic", "dynamic-5", "dynamic-rate-3e-3", "frozen-rate-3e-3"),
]


def prose(name: str) -> str:
    """A document's text in one line."""
    return " ".join((ROOT / name).read_text().split())


def table(name: str, head: str) -> list[list[str]]:
    """The cells of the first table whose head starts so."""
    lines = (ROOT / name).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(head)) + 2
    rows = []
    while lines[start].startswith("|"):
        rows.append([cell.strip() for cell in lines[start].split("|")[1:-1]])
        start += 1
    return rows


def read(name: str) -> Any:
    return json.loads((ROOT / name).read_text())


def listed(numbers: Sequence[object]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}"


CURVES: Mapping[str, list[list[dict[str, Any]]]] = read("docs/routing/finals.json")
ROUTING = prose("docs/routing.md")
# Mistakes of all three seeds after every epoch: whole numbers, which no rounding makes equal or different.
MISTAKES: dict[str, list[int]] = {
    name: [sum(round(row["error"] * IMAGES) for row in rows) for rows in zip(*seeds, strict=True)]
    for name, seeds in CURVES.items()
}
EPOCHS = range(1, 21)


def after(name: str, epoch: int) -> float:
    """Validation error in percent, mean over the seeds."""
    return 100 * MISTAKES[name][epoch - 1] / (3 * IMAGES)


def epochs_where(holds: Callable[[int], bool]) -> list[int]:
    return [epoch for epoch in EPOCHS if holds(epoch)]


def below(name: str, *others: str) -> list[int]:
    return epochs_where(lambda epoch: all(after(name, epoch) < after(other, epoch) for other in others))


def rank(name: str, epoch: int) -> str:
    return ORDINALS[sum(after(other, epoch) < after(name, epoch) for other in CURVES)]


def b_at_the_end(name: str, key: str) -> float:
    return float(statistics.mean(rows[-1]["b"][key] for rows in CURVES[name]))


def test_how_long_the_papers_claim_holds_is_as_the_curves_have_it() -> None:
    both = epochs_where(lambda epoch: max(after("l2", epoch), after("l1", epoch)) < after("dynamic", epoch))
    first = next(epoch for epoch in EPOCHS if epoch not in both) - 1
    later = [epoch for epoch in both if epoch > first]
    once = [f"{after(name, 1):.1f} %" for name in ("l2", "l1", "dynamic")]
    apart = max(abs(after("frozen", epoch) - after("l2", epoch)) for epoch in range(1, first + 1))

    assert (
        f"after each of the first {first} epochs: {once[0]} (L2) and {once[1]} (L1) against {once[2]} after one. "
        f"After the other {20 - first} epochs both are below dynamic routing {len(later)} times: {listed(later)}. "
        f"But frozen coefficients are below it after each of the first {first} epochs too, and within {apart:.2f} "
        "points of L2 there."
    ) in ROUTING
    assert set(range(1, first + 1)) <= set(below("frozen", "dynamic"))
    assert f"dynamic routing is behind all three after each of the first {first} epochs." in prose("docs/results.md")


def test_when_dynamic_routing_is_below_all_others_is_as_the_curves_have_it() -> None:
    others = [name for name in CURVES if not name.startswith("dynamic")]
    fast = below("dynamic-3e-3", "dynamic", *others)
    own = below("dynamic", "dynamic-3e-3", *others)
    for_ever = next(epoch for epoch in EPOCHS if set(range(epoch, 21)) <= set(own))
    caught_up = below("dynamic", *others)[0]
    bad = [epoch for epoch in range(caught_up, 21) if epoch not in below("dynamic", *others)]
    places = [rank("dynamic", epoch) for epoch in bad]
    end = sorted(after(name, 20) for name in CURVES)

    assert fast == list(range(1, len(fast) + 1))
    assert own == [15, 16, *range(for_ever, 21)]  # as the sentence has them
    assert (
        f"below all others after each of the first {len(fast)} epochs, and after none of the last {20 - len(fast)}. "
        f"At its own rate it is below all others after epochs 15, 16 and {for_ever} to 20, so for good only from "
        f"epoch {for_ever}. After epochs {listed(bad)} it is {listed(places)} of the eight. The order at the end "
        f"means little: after the last epoch all eight lie between {end[0]:.2f} and {end[-1]:.2f} %."
    ) in ROUTING


def test_the_finalists_table_is_that_of_the_curves_and_the_scores() -> None:
    scores = read("docs/routing/scores.json")["finals"]
    rows = table("docs/routing.md", "| | validation error, % | less frozen (95 %) | test error")
    published = {"l2": PAPER["l2-fc"], "l1": PAPER["l1-fc"], "dynamic": PAPER["dr"]}

    assert {row[0] for row in rows} == set(CURVES)
    for name, validation, gap, test, test_gap, *b, paper in rows:
        best = [100 * min(row["error"] for row in seed) for seed in CURVES[name]]
        assert validation == f"{statistics.mean(best):.2f} ± {statistics.stdev(best):.2f}"
        assert test == f"{100 * scores[name]['test']['mean']:.2f} ± {100 * scores[name]['test']['spread']:.2f}"
        if name != "frozen":
            assert [gap, test_gap] == [shown(scores[name][part]["less_frozen"]) for part in PARTS]
        if not name.startswith("dynamic"):
            sizes = [short(b_at_the_end(name, key)) for key in ("spread", "largest")]
            assert b == sizes + [share(b_at_the_end(name, key)) for key in ("negative", "zero")]
        assert paper == str(published.get(name, "-"))


def short(number: float) -> str:
    return f"{number:.2f}" if number % 1 else f"{number:.0f}"


def share(part: float) -> str:
    """In percent, with two digits below 1 and one above."""
    return f"{100 * part:.{1 if part > 0.01 else 2}f} %" if part else "0"


def shown(gap: Mapping[str, float]) -> str:
    return f"{100 * gap['mean']:+.2f} ({100 * gap['low']:+.2f} to {100 * gap['high']:+.2f})"


def test_what_is_said_of_b_is_as_the_curves_have_it() -> None:
    spreads = [statistics.mean(rows[index]["b"]["spread"] for rows in CURVES["l2"]) for index in range(20)]
    negative = {name: 100 * b_at_the_end(name, "negative") for name in ("l2", "l1", "l2-1e-3")}

    second, last = spreads[1] - spreads[0], spreads[19] - spreads[18]
    assert f"grows by {second:.2f} in the second epoch and by {last:.4f} in the last" in ROUTING
    assert (
        f"{negative['l2']:.2f} % (L2) and {negative['l1']:.2f} % (L1) of the coefficients end below zero" in ROUTING
    )
    gaps = [shown(read("docs/routing/scores.json")["finals"]["l2-1e-3"][part]["less_frozen"]) for part in PARTS]
    validation, test = (gap.replace(" (", " points (", 1) for gap in gaps)
    assert (
        f"With five times that rate {negative['l2-1e-3']:.1f} % do, and the error is no lower for it: against frozen "
        f"coefficients {validation} on the validation images, {test.replace(' points', '')} on the test images."
    ) in ROUTING
    assert f"lambda 0.2 leaves {100 * b_at_the_end('l1-prox', 'zero'):.1f} % zeros after twenty epochs" in ROUTING


def test_what_is_said_of_the_test_errors_is_as_the_scores_have_it() -> None:
    scores = read("docs/routing/scores.json")["finals"]
    test = {name: f"{100 * each['test']['mean']:.2f}" for name, each in scores.items()}
    gap = {key: f"{-100 * each:.2f}" for key, each in scores["dynamic"]["test"]["less_frozen"].items()}
    spreads = sorted(100 * each["test"]["spread"] for each in scores.values())
    validation = scores["dynamic"]["validation"]["less_frozen"]
    fast = scores["dynamic-3e-3"]["test"]["less_frozen"]

    lower = f"{gap['mean']} points lower than frozen coefficients' ({gap['high']} to {gap['low']})"
    assert f"Dynamic routing's test error is {lower}." in ROUTING
    assert (
        f"test error is {gap['mean']} points lower ({gap['high']} to {gap['low']}, for these three seeds)" in ROUTING
    )
    assert f"it is {-100 * validation['mean']:.2f} points lower, and the interval holds 0" in ROUTING
    assert f"holds 0 ({100 * validation['low']:+.2f} to {100 * validation['high']:+.2f})." in ROUTING
    assert f"the test error is {-100 * fast['mean']:.2f} points lower, and the interval holds 0" in ROUTING
    assert f"as well ({100 * fast['low']:+.2f} to {100 * fast['high']:+.2f})." in ROUTING
    assert f"a standard deviation of {spreads[0]:.2f} to {spreads[-1]:.2f} points" in ROUTING
    for name in ("l2", "l1", "backprop"):  # "hold 0 on both sets"
        for part in PARTS:
            assert scores[name][part]["less_frozen"]["low"] < 0 < scores[name][part]["less_frozen"]["high"]

    results = prose("docs/results.md")
    assert (
        f"test errors of {test['l2']} and {test['l1']} %, frozen coefficients (b = 1) {test['frozen']} %" in results
    )
    assert (
        f"In the end its test error is {test['dynamic']} %, which is {gap['mean']} points below frozen coefficients' "
        f"({gap['high']} to {gap['low']}, over the images"
    ) in results


def test_what_is_said_of_the_sieve_is_as_its_rows_have_it() -> None:
    rows = {row["name"]: row for row in read("docs/routing/sieve.json")}
    base = rows["frozen"]["validation"]
    error = {name: f"{100 * row['validation']:.2f}" for name, row in rows.items()}
    gaps = {name: round(100 * (row["validation"] - base), 6) for name, row in rows.items()}
    settings = [name for name in rows if name.startswith(("l2", "l1")) and name != "l2-nb-2"]
    lower = sorted(-gaps[name] for name in settings if gaps[name] < 0)
    above = [name for name in settings if rows[name]["low"] > 0]
    holding = [name for name in settings if rows[name]["low"] <= 0 <= rows[name]["high"]]

    assert (
        f"Of the {len(settings)} settings of L2 and L1 with one weight step, {len(lower)} have a lower error, by "
        f"{lower[0]:.2f} and {lower[1]:.2f} points, and their intervals hold 0. The interval of {len(above)} lies "
        f"above 0, that of the other {len(holding)} holds 0. What is lower (two weight steps: "
        f"{-gaps['l2-nb-2']:.2f} points) is nearly as low without a routing step ({-gaps['frozen-nb-2']:.2f}). "
        f"The {len(above)} are"
    ) in ROUTING
    assert len(above) + len(holding) == len(settings)
    pairs = ("l2-fresh", "l2-adam-1e-3", "l2-squashed-1e-3", "l2-adam-1e-3", "l2-squashed-2e-4", "l2")
    fresh, reused, squashed, raw, slow, slow_raw = (error[name] for name in pairs)
    most = max(abs(float(one) - float(other)) for one, other in ((fresh, reused), (squashed, raw), (slow, slow_raw)))
    assert f"differ by {most:.2f} points or less at rates up to 1e-3. " in ROUTING
    assert f"Fresh and reused have {fresh} and {reused} %." in ROUTING
    assert f"have {squashed} and {raw} % at 1e-3, and {slow} and {slow_raw} % at 2e-4." in ROUTING
    assert f"1e-3 has {error['l2-ascent-sum-1e-3']} %, and the mean" in ROUTING
    assert f"make it 0.128) {error['l2-ascent-1e-1']} %." in ROUTING
    assert f"differ: {error['l2-squashed-5e-3']} and {error['l2-adam-5e-3']} %" in ROUTING
    for name in (*pairs, "l2-ascent-sum-1e-3", "l2-ascent-1e-1"):  # "of each ... holds 0"
        assert name in holding
    wide = [name for name in settings if re.fullmatch(r"l2|l2-adam-[12]e-[35]|l2-ascent-1e-[123]", name)]
    assert set(wide) <= set(holding)
    spreads = sorted(rows[name]["b"]["spread"] for name in wide)
    assert f"the spread of b goes from {spreads[0]:.2f} to {spreads[-1]:.2f}" in ROUTING

    for head, names in ("| setting |", SIEVE), ("| | validation error, % | less frozen, points", SCALES):
        printed = table("docs/routing.md", head)
        for name, (_, validation, gap, *b) in zip(names, printed, strict=True):
            assert validation == error[name]
            if name != "frozen":
                ends = {"low": rows[name]["low"], "high": rows[name]["high"]}
                assert gap == shown({"mean": rows[name]["validation"] - base, **ends})
            found = rows[name]["b"]
            if b and found:
                assert b == [short(found["spread"]), f"{100 * found['negative']:.0f} %" if found["negative"] else "0"]


def test_what_is_said_of_seeds_scales_and_zeros_is_as_the_rows_have_it() -> None:
    rows = {row["name"]: row for row in read("docs/routing/sieve.json")}
    base = rows["frozen"]["validation"]
    error = {name: f"{100 * row['validation']:.2f}" for name, row in rows.items()}
    noise = [100 * each for each in read("docs/routing/scores.json")["frozen_in_the_sieve"]["validation"]]
    zeros = rows["l1-prox-1"]

    assert f"had {noise[0]:.2f}, {noise[1]:.2f} and {noise[2]:.2f} % with three seeds of the sieve" in ROUTING
    assert f"frozen coefficients alone differ by {max(noise) - min(noise):.2f} points" in ROUTING
    assert f"of {len(rows) - 1} intervals of 95 %" in ROUTING
    assert (
        f"of 0.1 have {error['frozen-b0-0.1']} %, between dynamic routing's {error['dynamic']} % with three "
        f"iterations and {error['dynamic-1']} % with one. With three times the rate dynamic routing has "
        f"{error['dynamic-rate-3e-3']} %, like two weight steps ({error['l2-nb-2']} and {error['frozen-nb-2']} %)"
    ) in ROUTING
    assert [name for name in rows if error[name] <= error["dynamic-rate-3e-3"]] == [
        *("dynamic-rate-3e-3", "l2-nb-2", "frozen-nb-2")
    ]
    assert f"lambda 0 gave the same spread ({rows['l2-lambda-0']['b']['spread']:.2f})" in ROUTING
    assert f"{rows['l2-lambda-0']['b']['spread']:.2f}" == f"{rows['l2-adam-1e-3']['b']['spread']:.2f}"
    assert (
        f"1 left {100 * zeros['b']['zero']:.1f} % after three, with {100 * (zeros['validation'] - base):.2f} points "
        f"more error ({100 * zeros['low']:.2f} to {100 * zeros['high']:.2f}); 0.1 and 0.01 left none"
    ) in ROUTING
    assert rows["l1-prox-1e-1"]["b"]["zero"] == rows["l1-prox-1e-2"]["b"]["zero"] == 0
    decision = prose("docs/decisions/0009-routing-step.md")
    assert f"lambda 0 and 1e-5 had the same validation error, {error['l2-lambda-0']} % after three" in decision
    assert error["l2-lambda-0"] == error["l2-adam-1e-3"]


def test_the_penalty_is_as_many_times_the_authors_as_there_are_primary_capsules() -> None:
    """The sum of b^2 over the capsules of a class, where theirs is the mean: 6 x 6 positions of so many types."""
    table_i, small, study = (types * 36 for types in (32, 8, 4))

    decision = prose("docs/decisions/0009-routing-step.md")
    assert (
        f"That is {table_i:,} times at Table I's width, {small} times in the `-small` recipes, {study} times"
        in decision
    )
    assert f"`routing.penalty={1e-5 / table_i:.1e}`".replace("e-09", "e-9") in decision
    assert f"{table_i:,} times as strong at Table I's width and {study} times in this study" in ROUTING


def test_the_printed_tables_are_made_from_the_json_without_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in STUDY.glob("*.json"):
        shutil.copy(path, tmp_path)
    monkeypatch.delattr(routing, "load_dataset")
    monkeypatch.setattr("sys.argv", ["routing", "--redraw", "--out", str(tmp_path)])

    routing.main()

    assert capsys.readouterr().out == (STUDY / "tables.md").read_text()
    assert {path.name for path in tmp_path.glob("*.png")} == {"errors.png", "coefficients.png"}


def test_the_scores_of_one_part_of_the_study_stay_when_another_is_written(tmp_path: Path) -> None:
    keep_scores(tmp_path, data="images", finals={"l2": 1})
    keep_scores(tmp_path, finals={"l2": 2})

    assert json.loads((tmp_path / "scores.json").read_text()) == {"data": "images", "finals": {"l2": 2}}


def test_equal_errors_share_a_rank_and_a_run_of_epochs_is_a_range() -> None:
    errors = {"a": np.array([0.1, 0.3]), "b": np.array([0.1, 0.2]), "c": np.array([0.2, 0.1])}
    assert {name: list(each) for name, each in ranks(errors).items()} == {"a": [1, 3], "b": [1, 2], "c": [3, 1]}
    assert epochs_of(np.array([True, True, False, True, True, True])) == "1, 2, 4 to 6"
    assert epochs_of(np.array([False, False])) == "none"
    assert for_good(np.array([True, False, True, True])) == 3
    assert for_good(np.array([True, True])) == 1
    assert for_good(np.array([True, False])) is None


def test_the_quotients_of_training_steps_follow_from_the_table() -> None:
    rows = {row[0]: row for row in table("docs/results.md", "| routing | fp32 | ratio")}
    fp32, bf16 = (
        {name: float(row[column].removesuffix(" ms").replace(",", "")) for name, row in rows.items()}
        for column in (1, 4)
    )
    textbook, dynamic = "dynamic by the textbook", "dynamic, 3 iterations"
    results, figures = prose("docs/results.md"), prose("docs/reproduce.md")

    assert f"for L2 in fp32 that is {fp32['L2'] / fp32['frozen']:.2f}." in results
    assert (
        f"fp32 takes {fp32[textbook] / fp32[dynamic]:.2f} times as long as our dynamic routing, "
        f"{fp32[textbook] / fp32['L2']:.2f} times as long as L2, and {fp32[textbook] / bf16['L2']:.2f} times as long "
        "as L2 in bf16"
    ) in results
    saved = {f"{100 * (1 - fp32[kind] / fp32[dynamic]):.0f}" for kind in ("L2", "L1")}
    assert f"In fp32 both take {saved.pop()} % less" in figures
    assert not saved
    assert (
        f"takes {fp32[textbook] / fp32[dynamic]:.2f} times as long as ours in fp32 and "
        f"{bf16[textbook] / bf16[dynamic]:.2f} times in bf16"
    ) in figures
    assert f"against it L2 takes {100 * (1 - fp32['L2'] / fp32[textbook]):.0f} % less in fp32" in figures
    ratio_fp32, ratio_bf16 = (float(rows[dynamic][column].split()[0]) for column in (2, 5))
    assert f"takes {ratio_fp32:.2f} times as long as one of frozen coefficients in fp32" in ROUTING
    assert f"frozen coefficients in fp32 and {ratio_bf16:.2f} times in bf16" in ROUTING


def test_what_is_said_of_figure_3_is_as_its_json_has_it() -> None:
    curves = {curve["kind"]: curve for curve in read("docs/reproduce/fig3.json")["curves"]}
    text = prose("docs/reproduce.md")
    labels = {"L2": "l2", "L1": "l1", "KL": "kl", "EM": "em"}
    published = {"l2": PAPER["l2-fc"], "l1": PAPER["l1-fc"], "dynamic": PAPER["dr"]}
    for label, validation, test, paper in table("docs/reproduce.md", "| routing | validation error after 860"):
        curve = curves[labels.get(label, label)]
        assert [validation, test] == [f"{100 * each:.2f}" for each in (curve["errors"][0][-1], *curve["test_errors"])]
        assert paper == str(published.get(curve["kind"], "-"))

    gaps = {  # points below dynamic routing after each of the steps 108, 215 and so on
        kind: [round(100 * (theirs - own), 6) for own, theirs in zip(curve["errors"][0], dynamic, strict=True)]
        for dynamic in [curves["dynamic"]["errors"][0]]
        for kind, curve in curves.items()
    }
    l2, l1, frozen = gaps["l2"], gaps["l1"], gaps["frozen"]
    assert curves["l1"]["steps"][:2] == [108, 215]
    assert f"by {min(l2[1:]):.2f} to {max(l2[1:]):.2f} points. L1 is below it by up to {max(l1):.2f} points" in text
    assert f"and equal at step {curves['l1']['steps'][l1.index(0)]}. " in text
    assert l2[0] == 0
    assert f"At step 108 L2 is equal and L1 {-l1[0]:.2f} points higher." in text
    assert f"the standard error of an error of 12 % is {100 * (0.12 * 0.88 / IMAGES) ** 0.5:.2f} points" in text
    assert f"as well, by {min(frozen[1:]):.2f} to {max(frozen[1:]):.2f} points" in text


def test_what_is_said_of_figure_4_is_as_its_json_has_it() -> None:
    seconds = {kind["kind"]: kind["seconds"] for kind in read("docs/reproduce/fig4.json")["kinds"]}
    text = prose("docs/reproduce.md")

    def quartiles(kind: str, base: str) -> list[float]:
        found = [own / other for own, other in zip(seconds[kind], seconds[base], strict=True)]
        return statistics.quantiles(found, n=4, method="inclusive")

    saved = [[f"{100 * (1 - each):.0f}" for each in quartiles(kind, "dynamic")] for kind in ("l2", "l1")]
    (l2_most, l2, l2_least), (l1_most, l1, l1_least) = saved
    assert f"L2's step takes {l2} % less (quartiles {l2_least} to {l2_most} %)" in text
    assert f"and L1's {l1} % less ({l1_least} to {l1_most} %)" in text
    assert f"its step takes {quartiles('em', 'dynamic')[1]:.1f} times as long as dynamic routing's" in text
    assert f"and {quartiles('em', 'l2')[1]:.1f} times as long as L2's" in text


def test_the_papers_errors_in_the_results_are_table_iis() -> None:
    assert (
        f"has {PAPER['l2-fc']} % for L2 and {PAPER['l1-fc']} % for L1 without decoder, {PAPER['l2']} % and "
        f"{PAPER['l1']} % with it, and {PAPER['dr']} % for dynamic routing"
    ) in prose("docs/results.md")
    others = [PAPER["dr"] - PAPER[name] for name in ("l2", "l1", "l2-fc", "l1-fc")]
    assert f"differences, {min(others):.2f} to {max(others):.2f} points in the other direction" in ROUTING
