"""An int8 file with weights of 8 bits on a processor without VNNI: every command runs it exactly, and says so.

The processor is this one, which is taken for one whose sums saturate; `tests/runtime/ort/test_saturation.py` and
`make portable` run the kernels of such a processor.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from capsedge.data import load_dataset
from capsedge.export.precision import calibration_images
from capsedge.runtime.ort import saturation
from capsedge.training import Run
from tests.export.corruptions import weights_of_8_bits
from tests.export.typed_files import typed_file
from tests.in_process import Capsedge, in_this_process

SAMPLE = Path(__file__).parents[2] / "samples" / "ankle-boot-1045.png"
NOTE = "its int8 sums can saturate on processors without VNNI such as this one, so it runs with ONNX Runtime's exact"


@pytest.fixture
def capsedge(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Capsedge:
    monkeypatch.setattr(saturation, "int8_saturates", lambda _: True)
    return in_this_process(capsys, monkeypatch)


@pytest.fixture
def wide(exported: Run) -> Path:
    """The accepted int8 file, with weights of 8 bits that mean the same."""
    path = typed_file(exported, "int8")
    model = onnx.load(path)
    weights_of_8_bits(model)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("infer", str(SAMPLE), "--model"), 0),
        (("verify",), 1),  # its weights are not those of its contract
        (("bench", "--quick"), 0),
        (("profile", "--iterations", "50", "--no-roofline"), 0),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_the_command_says_that_it_uses_exact_kernels(
    words: tuple[str, ...], code: int, wide: Path, capsedge: Capsedge
) -> None:
    result = capsedge(*words, str(wide))

    assert result.returncode == code, result.stderr
    assert result.stderr.count(NOTE) == 1


def test_a_file_that_an_export_made_needs_no_word(exported: Run, capsedge: Capsedge) -> None:
    result = capsedge("verify", str(typed_file(exported, "int8")))

    assert (result.returncode, "VNNI" in result.stderr) == (0, False)


def test_json_carries_it_too(wide: Path, capsedge: Capsedge) -> None:
    verified = json.loads(capsedge("verify", str(wide), "--json").stdout)
    measured = json.loads(capsedge("bench", "--quick", str(wide), "--json").stdout)

    assert any(NOTE in warning["text"] for warning in verified["warnings"])
    (group,) = measured["groups"]
    assert group["cases"][0]["settings"]["exact_int8"] is True
    assert any(NOTE in warning["text"] for warning in group["warnings"])


@pytest.mark.parametrize("operators", [None, ["Conv", "Gemm", "MatMul"]], ids=["default operators", "products alone"])
def test_a_file_that_others_quantized_is_rejected_with_the_remedy(
    operators: list[str] | None, exported: Run, capsedge: Capsedge
) -> None:
    """ONNX Runtime's quantizer as its documentation shows it; it copies the contract of the fp32 file."""
    images = iter(calibration_images(load_dataset("fashion-mnist-subset"), 100))

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def get_next(self) -> dict[str, object] | None:
            image = next(images, None)
            return None if image is None else {"image": image[np.newaxis]}

    theirs = exported.path / "theirs.onnx"
    quantize_static(
        exported.path / "model.onnx",
        theirs,
        Reader(),
        per_channel=True,
        op_types_to_quantize=operators,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8,
    )
    result = capsedge("gate", str(theirs), "--run", str(exported.path), "--max-error-increase", "100")

    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("capsedge: the gate rejected")
    assert "and x86 processors without VNNI add them in 16 bits" in line
    assert "quantize to weights of 7 bits, as capsedge export does" in line
