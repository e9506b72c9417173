"""`capsedge inspect` as a person runs it, and the contracts of other schemas that every command refuses."""

import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from rich.console import Console

from capsedge.cli.inspect import inspect
from capsedge.contract import (
    SCHEMA_VERSION,
    Calibration,
    Contract,
    EngineManifest,
    Layer,
    Score,
    Verdict,
    contract_of,
    encode,
)
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.statistics import Difference
from tests.cli.conftest import Edge, one_line
from tests.in_process import Capsedge, in_this_process
from tests.runtime.capsule_model import graph, save_with
from tests.runtime.int8_models import quantized_product, saved

capsedge = pytest.fixture(in_this_process)
ENGINE = b"a serialized engine"
REASON = "the error rises by 2.00 points (1.10 to 3.10) from 10.00 %, more than 0.5"


@pytest.fixture
def contract(good: Path) -> Contract:
    """A contract in which every part has something to say."""
    found = contract_of(read_onnx_file(good), source=str(good))
    assert found is not None
    verdict = Verdict(
        status="rejected",
        provider="CPUExecutionProvider",
        images=5000,
        largest_length_difference=0.4,
        mean_length_difference=0.0123,
        top1_agreement=0.93,
        error=0.12,
        error_change=Difference(0.02, 0.011, 0.031),
        largest_reconstruction_difference=0.25,
        limits={"top1_agreement": 0.95, "error_change": 0.005, "largest_pose_difference": 0.2},
        reasons=(REASON,),
        starts_at="the output of 'conv2'",
        remarks=("the images are few",),
    )
    return msgspec.structs.replace(
        found,
        name="run-7",
        labels=2,
        layers=(
            Layer(name="conv1", op="Conv", type="fp16", output="fp16", flops=4_147_200, parameters=5184),
            Layer(
                name="classes.weight_quantized",
                op="Gemm",
                type="int8",
                output="fp32",
                flops=12_441_600,
                parameters=368_640,
            ),
        ),
        outputs=("lengths", "poses", "reconstruction"),
        shapes={"lengths": (10,), "poses": (10, 16), "reconstruction": (2, 28, 28, 1)},
        calibration=Calibration("entropy", 512),
        scores=(Score("trained", "test", 10_000, 0.0993), Score("int8", "validation", 5000, 0.12)),
        verdict=verdict,
    )


@pytest.fixture
def file(contract: Contract, tmp_path: Path) -> Path:
    save_with(graph(), contract, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def an_engine(folder: Path, contract: Contract, name: str = "model.engine") -> Path:
    manifest = EngineManifest(
        engine_sha256=hashlib.sha256(ENGINE).hexdigest(),
        package="tensorrt_rtx",
        package_version="1.7.1.116",
        targets=("sm86", "sm89"),
        batch=(1, 8, 64),
        build_seconds=0.75,
        size_bytes=len(ENGINE),
        precision={"conv1": "half", "conv2": "half", "classes": "int8"},
        warnings=("a tensor was clamped",),
        contract=contract,
    )
    (folder / name).write_bytes(ENGINE)
    (folder / f"{name}.json").write_text(encode(manifest))
    return folder / name


def lines_of(text: str) -> list[str]:
    """The lines with single spaces between the words."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_person_reads_every_part_of_the_contract(edge: Edge, file: Path, contract: Contract) -> None:
    done = edge("inspect", file)

    lines = lines_of(done.stdout)
    assert done.returncode == 0
    assert lines[0] == "run-7"
    assert {
        f"file {file}",
        "gate rejected",
        "precision int8: 1 of 2 layers, 75.0 % of the FLOPs; fp16: 1 of 2 layers, 25.0 % of the FLOPs",
        "cost 16.6 MFLOPs for one image",
        "parameters 373,824 in 2 layers, biases not counted",
        "input image, uint8 [batch, 28, 28, 1], grey of 0 to 255",
        "fitting images of other sizes are scaled (bilinear) to fit, keeping the aspect ratio, on black",
        "output lengths, float32 [batch, 10]: how strongly each class is present, 0 to 1",
        "output poses, float32 [batch, 10, 16]: the class capsules",
        "output reconstruction, float32 [batch, 2, 28, 28, 1]: the decoder's image of the longest capsules, 0 to 1",
        f"10 classes {', '.join(contract.classes)}",
        "answer the classes of the 2 longest capsules",
        "routing l2, collapsed into constant weights",
        "calibration entropy of 512 training images",
        "classes Gemm int8 fp32 12,441,600 75.0 % 368,640",
        "trained 9.93 % of 10,000",
        "int8 12.00 % of 5,000",
        "verdict rejected on CPUExecutionProvider, 5,000 validation images",
        f"reason {REASON}",
        "first difference the output of 'conv2'",
        "note the images are few",
        "largest length difference 0.4",
        "mean length difference 0.012",
        "largest reconstruction difference 0.25",
        "same answer 93.00 % at least 95.00 %",
        "error 12.00 %",
        "change of the error, points +2.00 (+1.10 to +3.10) at most +0.50",
        "largest pose difference at most 0.2",
        "recipe none",
        "trained on random pixels",
        "golden sample 5 images, lengths within 1e-05",
        f"made with onnx {onnx.__version__}",
        "contract as it was sealed",
        f"graph with its {len(contract.weights_sha256)} weights as exported",
        f"graph SHA-256 {contract.graph_sha256}",
    } <= set(lines)
    assert done.stderr == f"next: capsedge verify {file}"


def test_neither_onnx_nor_a_runtime_nor_torch_is_needed(edge: Edge) -> None:
    done = edge("inspect")

    assert done.returncode == 0
    assert done.stdout.startswith("fashion-mnist (built in)\n")
    assert {"torch", "onnx", "onnxruntime", "PIL", "tensorrt_rtx"}.isdisjoint(done.args)


def test_json_holds_the_contract_whole(edge: Edge, file: Path, contract: Contract) -> None:
    done = edge("inspect", file, "--json")

    record = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert record["contract"] == json.loads(encode(contract))
    assert record["flops"] == 16_588_800
    assert {check["what"]: check["holds"] for check in record["checks"]} == {"contract": True, "graph": True}


def test_an_engine_is_shown_by_its_manifest(edge: Edge, contract: Contract, tmp_path: Path) -> None:
    done = edge("inspect", an_engine(tmp_path, contract))

    assert done.returncode == 0
    assert {
        "built by tensorrt_rtx 1.7.1.116",
        "for sm86, sm89",
        "batch 1 to 64, optimal 8",
        "build time 0.8 s",
        "layers 2 half, 1 int8",
        "note a tensor was clamped",
        "engine as it was built",
    } <= set(lines_of(done.stdout))
    assert {"tensorrt", "tensorrt_rtx", "cuda"}.isdisjoint(done.args)


def test_a_file_without_a_contract_is_described_and_what_is_missing_is_said(edge: Edge, models: Path) -> None:
    done = edge("inspect", models / "foreign.onnx")

    lines = lines_of(done.stdout)
    assert done.returncode == 0
    assert "contract none: the file was not made by capsedge export" in lines
    assert "missing class names, image size, meaning of the outputs, scores, golden sample, hashes" in lines
    assert any(line.startswith("table ") for line in lines)
    assert done.stderr == f"next: capsedge bench {models / 'foreign.onnx'}"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_altered_file_is_shown_and_fails(edge: Edge, models: Path, options: tuple[str, ...]) -> None:
    file = models / "altered-weight.onnx"
    done = edge("inspect", file, *options)

    assert done.returncode == 1
    assert "its weights classes.weight were altered" in done.stdout
    assert f"'{file}' is not what its contract describes: its weights classes.weight were altered" in done.stderr


@pytest.mark.parametrize(("width", "colours"), [(80, False), (60, False), (120, True)])
def test_nothing_is_cut_off_in_a_narrow_terminal_and_a_pipe_gets_no_colours(
    width: int,
    colours: bool,
    file: Path,
    contract: Contract,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console(width=width, highlight=False, force_terminal=colours)
    monkeypatch.setattr("capsedge.cli.console.out", console)

    inspect(str(file))

    shown = capsys.readouterr().out
    assert ("\x1b[1;31mrejected" in shown) == colours
    if not colours:
        assert "\x1b" not in shown
        copied = (" file ", " graph SHA-256 ")  # never wrapped
        assert max(len(line) for line in shown.splitlines() if not line.startswith(copied)) <= width
        assert str(file) in shown
        together = "".join(shown.split())
        for whole in (REASON, ", ".join(contract.classes), contract.graph_sha256, "12,441,600", "+0.50"):
            assert "".join(whole.split()) in together


COMMANDS = {
    "inspect": ("inspect", "{model}"),
    "verify": ("verify", "{model}"),
    "infer": ("infer", "{image}", "--model", "{model}"),
    "bench": ("bench", "{model}", "--iterations", "1"),
}


@pytest.mark.parametrize("kind", ["onnx", "engine"])
@pytest.mark.parametrize(("schema", "way_out"), [(99, "upgrade capsedge"), (1, "export it again")])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_contract_of_another_schema_is_refused_in_one_line(
    command: str, schema: int, way_out: str, kind: str, capsedge: Capsedge, contract: Contract, tmp_path: Path
) -> None:
    if kind == "onnx":
        source = model = tmp_path / "model.onnx"
        save_with(graph(), msgspec.structs.replace(contract, schema=schema), model)
    else:
        model = an_engine(tmp_path, contract)
        source = tmp_path / "model.engine.json"
        source.write_text(json.dumps(json.loads(source.read_text()) | {"schema": schema}))
    (tmp_path / "image.png").write_bytes(b"not looked at")

    done = capsedge(*(word.format(model=model, image=tmp_path / "image.png") for word in COMMANDS[command]))

    assert done.stdout == ""
    assert one_line(done, 1) == (
        f"capsedge: '{source}' has a contract of schema {schema}, this capsedge reads {SCHEMA_VERSION}: {way_out}"
    )


@pytest.mark.parametrize(
    ("code", "row"),
    [
        (
            64,
            "int8 the same on every processor: the largest sum of two products is 32,640, and x86 without VNNI adds "
            "them in 16 bits (up to 32,767)",
        ),
        (
            127,
            "int8 saturates on some processors: the largest sum of two products is 64,770, and x86 without VNNI adds "
            "them in 16 bits (up to 32,767) (w)",
        ),
    ],
)
def test_whether_int8_is_the_same_everywhere_is_read_from_the_weights(
    code: int, row: str, edge: Edge, tmp_path: Path
) -> None:
    file = saved(quantized_product(np.full((4, 4), code, np.int8)), tmp_path / "int8.onnx")

    assert row in lines_of(edge("inspect", file).stdout)
    told = json.loads(edge("inspect", file, "--json").stdout)["int8_pairs"]
    assert told == {"largest": 255 * 2 * code, "weight": "w"}
