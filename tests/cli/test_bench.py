"""`capsedge bench` as a person runs it."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Edge
from tests.in_process import Capsedge, in_this_process

capsedge = pytest.fixture(in_this_process)
FEW = ("--iterations", "16", "--threads", "1", "--quick")


@pytest.fixture(scope="module")
def report(edge: Edge, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two models, as JSON; made in a process of its own, where what it loads can be seen."""
    file = tmp_path_factory.mktemp("reports") / "report.json"
    done = edge("bench", "fashion-mnist", models / "good.onnx", *FEW, "--output", file)
    assert done.returncode == 0, done.stderr
    assert {"torch", "onnx", "matplotlib", "jinja2"}.isdisjoint(done.args)
    header, first, second = [
        line
        for line in done.stdout.split("where the time goes")[0].splitlines()
        if line.strip(" ─") and not line.lstrip().startswith("<")  # a bound, below its percentile
    ]
    assert header.split()[:3] == ["model", "p50", "ms"]
    assert first.split()[0] == "fashion-mnist"
    assert second.split()[0] == str(models / "good.onnx")
    assert "single-stream, 1 image per query: 16 timed iterations per case in" in done.stderr
    assert "quick" in done.stderr
    assert "p99 needs 662 iterations" in done.stderr
    assert done.stderr.splitlines()[-1] == f"report: {file}"
    return file


def test_the_model_that_is_chosen_where_none_is_named_is_told(edge: Edge) -> None:
    assert edge("bench", *FEW).stderr.startswith("model: fashion-mnist (built in)\n")


def test_a_report_holds_every_run_of_every_model(report: Path) -> None:
    content = json.loads(report.read_bytes())
    (group,) = content["groups"]

    assert (content["kind"], content["schema"]) == ("capsedge bench", 5)
    assert content["command"][:4] == ["capsedge", "bench", "fashion-mnist", content["command"][3]]
    assert content["command"][4:] == ["--iterations", "16", "--quick", "--threads", "1"]
    assert [case["label"] for case in group["cases"]] == ["fashion-mnist", content["command"][3]]
    assert [sum(len(turn) for turn in case["samples_ms"]) for case in group["cases"]] == [16, 16]
    assert group["cases"][0]["settings"]["threads"] == 1
    assert group["cases"][0]["energy_mj"] == group["before"]["gpu_mhz"] == "unavailable"


def test_a_report_of_before_is_shown_and_written_in_other_formats(
    report: Path, capsedge: Capsedge, tmp_path: Path
) -> None:
    outputs = [word for kind in ("csv", "md", "json") for word in ("--output", str(tmp_path / f"r.{kind}"))]
    done = capsedge("bench", "--from", str(report), *outputs)

    assert done.returncode == 0
    assert "fashion-mnist" in done.stdout
    assert (tmp_path / "r.json").read_bytes() == report.read_bytes()
    assert (tmp_path / "r.csv").read_text().count("\n") == 3
    assert "| fashion-mnist |" in (tmp_path / "r.md").read_text()


def test_json_is_the_report_and_nothing_else(report: Path, capsedge: Capsedge) -> None:
    done = capsedge("bench", "--from", str(report), "--json")

    assert json.loads(done.stdout) == json.loads(report.read_bytes())
    assert done.stderr == ""


def test_the_same_measurement_is_no_regression(report: Path, capsedge: Capsedge) -> None:
    done = capsedge("bench", "--from", str(report), "--baseline", str(report))

    assert done.returncode == 0
    assert "1.00" in done.stdout.rpartition("x baseline")[2]


def changed(report: Path, file: Path, **fields: object) -> Path:
    """A copy of a report with other fields of its second case."""
    content = json.loads(report.read_bytes())
    content["groups"][0]["cases"][1].update(fields)
    file.write_text(json.dumps(content))
    return file


def faster(report: Path, file: Path, times: float, rounds: int = 1) -> Path:
    """A report of a past in which the second model was so many times as fast, with its rounds repeated."""
    content = json.loads(report.read_bytes())
    for case in content["groups"][0]["cases"]:
        case["samples_ms"] = case["samples_ms"] * rounds
    case["samples_ms"] = [[sample / times for sample in turn] for turn in case["samples_ms"]]
    file.write_text(json.dumps(content))
    return file


def test_a_slower_model_sets_the_exit_code(report: Path, capsedge: Capsedge, tmp_path: Path) -> None:
    now, then = (faster(report, tmp_path / f"{times}.json", times, rounds=20) for times in (1, 1000))

    done = capsedge("bench", "--from", str(now), "--baseline", str(then))

    assert done.returncode == 1
    words = done.stdout.split()  # in rows that fold where the path of the model is long
    assert [word for word in words if word in ("not", "slower")] == ["not", "slower", "slower"]
    assert "capsedge: slower than" in done.stderr


def test_what_cannot_be_judged_is_not_called_good(report: Path, capsedge: Capsedge, tmp_path: Path) -> None:
    then = faster(report, tmp_path / "then.json", 1000)
    content = json.loads(report.read_bytes())
    for case in content["groups"][0]["cases"]:
        case["samples_ms"] = [[1.0] * 8, [1.0] * 8]
    now = tmp_path / "now.json"
    now.write_text(json.dumps(content))

    done = capsedge("bench", "--from", str(now), "--baseline", str(then))

    assert done.returncode == 1
    assert "too few" in done.stdout  # the cell folds where the path of the model is long
    assert "capsedge: too few rounds to decide whether these are slower" in done.stderr


def test_a_ratio_to_the_first_model_sets_the_exit_code(report: Path, capsedge: Capsedge, tmp_path: Path) -> None:
    slow = changed(report, tmp_path / "slow.json", ratio={"value": 1.2, "low": 1.1, "high": 1.3})

    assert capsedge("bench", "--from", str(slow), "--max-ratio", "1.3").returncode == 0
    done = capsedge("bench", "--from", str(slow), "--max-ratio", "1.05")
    assert done.returncode == 1
    assert "capsedge: slower than 1.05 times the first model:" in done.stderr


def test_another_machine_is_refused_before_anything_is_measured(
    report: Path, capsedge: Capsedge, tmp_path: Path
) -> None:
    content = json.loads(report.read_bytes())
    content["machine"]["cpu"] = "another processor"
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(content))

    done = capsedge("bench", "--iterations", "1000000", "--baseline", str(elsewhere))

    assert (done.returncode, done.stdout) == (2, "")
    assert "latencies of two machines cannot show a regression" in done.stderr


def test_a_baseline_without_the_model_is_refused_before_anything_is_measured(
    report: Path, models: Path, capsedge: Capsedge
) -> None:
    words = ("--iterations", "1000000", "--baseline", str(report))
    for asked in ([str(models / "foreign.onnx")], ["fashion-mnist", "--sweep", "batch=2,4"]):
        done = capsedge("bench", *asked, *words)

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("capsedge: the baseline has none of the measured cases")


def test_a_comparison_that_fails_loses_no_measurement(
    report: Path, models: Path, capsedge: Capsedge, tmp_path: Path
) -> None:
    """The baseline has the model with one thread: that it gets another number is known when it is open."""
    words = [str(models / "good.onnx"), "--iterations", "16", "--quick", "--threads", "2", "--baseline", str(report)]
    done = capsedge("bench", *words, "--output", str(tmp_path / "now.json"), "--output", str(tmp_path / "now.md"))

    assert done.returncode == 2
    assert "p50 ms" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("capsedge: the baseline has none of the measured cases")
    assert json.loads((tmp_path / "now.json").read_bytes())["unfinished"] is False
    assert "good" in (tmp_path / "now.md").read_text()


def test_a_sweep_that_was_cut_off_goes_on_from_its_file(models: Path, capsedge: Capsedge, tmp_path: Path) -> None:
    file = tmp_path / "sweep.json"
    words = ("bench", str(models / "good.onnx"), *FEW, "--sweep", "batch=1,2", "--output", str(file))
    assert capsedge(*words).returncode == 0
    whole = json.loads(file.read_bytes())
    assert [group["batch"] for group in whole["groups"]] == [1, 2]
    file.write_text(json.dumps(whole | {"groups": whole["groups"][:1], "unfinished": True}))

    other = capsedge(*("2" if word == "1" else word for word in words))  # of --threads
    assert (other.returncode, other.stdout) == (2, "")
    command = f"capsedge bench {models / 'good.onnx'} --iterations 16"
    assert f"'{file}' holds an unfinished measurement of `{command}" in other.stderr
    done = capsedge(*words)

    again = json.loads(file.read_bytes())
    assert f"continuing '{file}': 1 of 2 batches was measured before" in done.stderr
    assert again["groups"][0] == whole["groups"][0]
    assert again["groups"][1]["batch"] == 2
    assert again["groups"][1] != whole["groups"][1]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["gone"], "there is no file and no model 'gone'"),
        (["--output", "report.txt"], "expected a report name that ends in .json, .csv, .md, .html, got 'report.txt'"),
        (["--max-regression", "much", "--baseline", "old.json"], "expected a percentage from 0 to 999999"),
        (["--from", "report.json", "fashion-mnist"], "--from shows an earlier report: leave out models"),
        (["--from", "report.json", "--threads", "2"], "--from shows an earlier report"),
        (
            ["--output", "report.json", "--baseline", "report.json"],
            "'report.json' is the baseline, and --output would",
        ),
        (["--output", "/proc/report.json"], "cannot write '/proc/report.json': "),
        (["--max-regression", "7%"], "--max-regression and --other-machine need a --baseline"),
        (["--iterations", "2", "--duration", "1"], "--iterations and --duration were both given: choose one"),
        (["--batch", "2", "--sweep", "batch=1,2"], "--batch and --sweep batch=... were both given: choose one"),
        (["--sweep", "speed=1"], "there is no sweep over 'speed'"),
        (["--qps", "5", "--scenario", "offline"], "--qps and --p99-ms belong to --scenario server, got offline"),
        (["--scenario", "server"], "the scenario 'server' needs --qps"),
        (["--qps", "0"], "expected a rate above 0"),
        (["--qps", "5", "--max-ratio", "1.1"], "--max-ratio compares models that take turns"),
        (["--concurrency", "2", "--iterations", "5"], "--iterations cannot be shared out among several clients"),
        (["--data", "no-such-place"], "unknown data set 'no-such-place'"),
    ],
)
def test_wrong_use_is_one_line_before_anything_is_measured(words: list[str], line: str, capsedge: Capsedge) -> None:
    done = capsedge("bench", *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"capsedge: {line}")
    assert done.stderr.count("\n") == 1


def test_a_model_that_does_not_take_the_batch_is_one_line(models: Path, capsedge: Capsedge) -> None:
    done = capsedge("bench", str(models / "batch-of-2.onnx"))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (f"capsedge: '{models / 'batch-of-2.onnx'}': expected a batch of 2, got 1: use --batch 2\n")


@pytest.mark.parametrize(
    ("names", "kept"),
    [(["r.json"], ""), (["r.csv", "r.md"], "; with --output FILE.json the finished rounds are kept")],
)
def test_ctrl_c_before_the_first_result_says_that_nothing_new_was_written(
    names: list[str], kept: str, models: Path, capsedge: Capsedge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_ctrl_c(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("capsedge.measure.bench.sweep.measure", press_ctrl_c)
    outputs = [word for name in names for word in ("--output", name)]
    done = capsedge("bench", str(models / "good.onnx"), *outputs)
    assert done.returncode == 130
    files = ", ".join(f"'{name}'" for name in names)
    assert done.stderr.splitlines()[-1] == f"capsedge: interrupted: no new result was written to {files}{kept}"
    assert list(tmp_path.iterdir()) == []


ZOO = Path(__file__).parents[2] / "zoo" / "edge-nano"


def test_one_table_has_error_latency_memory_and_what_the_machine_shows_of_energy(
    capsedge: Capsedge, tmp_path: Path
) -> None:
    file = tmp_path / "judged.json"
    words = ("--iterations", "16", "--quick", "--memory", "--data", "fashion-mnist-subset", "--output", str(file))

    done = capsedge("bench", str(ZOO / "model.onnx"), str(ZOO / "model.int8.onnx"), *words)

    assert done.returncode == 0, done.stderr
    first, second = json.loads(file.read_bytes())["groups"][0]["cases"]
    assert first["on_data"]["images"] == second["on_data"]["images"] == 1_000
    assert 20 < first["memory"]["runtime_mb"] < first["memory"]["peak_mb"] < 1_000
    for word in (f"{100 * first['on_data']['error']:.2f}", f"{second['memory']['peak_mb']:#.3g}"):
        assert word in done.stdout.split()
    assert "error on Fashion-MNIST subset" in done.stderr
    shown = first["cpu_energy_mj"] != "unavailable"
    assert ("CPU mJ/image" in " ".join(done.stdout.split())) is shown
    assert ("CPU energy: not shown by this machine" in done.stderr) is not shown


def test_a_server_is_tried_at_a_rate_and_never_compared_by_a_ratio(capsedge: Capsedge, tmp_path: Path) -> None:
    file = tmp_path / "server.json"

    done = capsedge("bench", str(ZOO / "model.onnx"), "--qps", "400", "--iterations", "64", "--output", str(file))

    assert done.returncode == 0, done.stderr
    content = json.loads(file.read_bytes())
    (case,) = content["groups"][0]["cases"]
    assert content["command"][3:] == ["--scenario", "server", "--iterations", "64", "--qps", "400"]
    assert (content["plan"]["scenario"], case["served"]["qps"], case["iterations"]) == ("server", 400.0, 64)
    assert "server, 1 image per query, Poisson arrivals at 400/s: 64 timed iterations per case" in done.stderr
    assert capsedge("bench", "--from", str(file), "--max-ratio", "2").returncode == 2


def test_several_clients_are_measured_together(capsedge: Capsedge, tmp_path: Path) -> None:
    file = tmp_path / "clients.json"
    words = ("--concurrency", "3", "--duration", "0.1", "--quick", "--threads", "1", "--output", str(file))

    done = capsedge("bench", str(ZOO / "model.onnx"), str(ZOO / "model.int8.onnx"), *words)

    assert done.returncode == 0, done.stderr
    (group,) = json.loads(file.read_bytes())["groups"]
    assert (group["concurrency"], group["rounds"] >= 12) == (3, True)
    for case in group["cases"]:
        assert case["images_per_second"] == pytest.approx(3_000 / case["mean_ms"])
    assert group["cases"][1]["ratio"]["low"] is not None
    assert "single-stream, 1 image per query, 3 clients:" in done.stderr
