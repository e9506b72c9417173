"""int8 that is wrong without VNNI: what this processor does, what an emulated one does, and what is done about it."""

import subprocess
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest

from capsedge import processor
from capsedge.errors import ModelError
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.open import open_session
from capsedge.runtime.ort import placement, saturation
from capsedge.runtime.ort import session as session_module
from capsedge.runtime.session import SessionWarning
from capsedge.runtime.settings import Settings
from tests.emulated import emulated
from tests.runtime.int8_models import quantized_product, saved

# What a process under an emulator tells: whether int8 saturates there, and the sums of a file in three sessions.
SCRIPT = """
import sys
import msgspec, numpy as np, onnxruntime
from capsedge.runtime.open import open_session
from capsedge.runtime.ort.saturation import int8_saturates
from capsedge.runtime.settings import Settings

told = {"saturates": int8_saturates(onnxruntime)}
for exact in (None, True, False):
    with open_session(sys.argv[1], Settings(exact_int8=exact)) as session:
        (y,) = session.run_raw({"x": np.full((8, 16), 127, np.float32)}).values()
        told[str(exact)] = [float(y.ravel()[0]), session.settings.exact_int8, len(session.warnings)]
sys.stdout.buffer.write(msgspec.json.encode(told))
"""


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A product of 16 weights of 127, which only exact sums compute."""
    return saved(quantized_product(np.full((16, 16), 127, np.int8)), tmp_path / "wide.onnx")


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    """The same with weights of 64."""
    return saved(quantized_product(np.full((16, 16), 64, np.int8)), tmp_path / "narrow.onnx")


@pytest.fixture
def _saturating(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without VNNI, as far as the choice of kernels goes; the kernels are those of this one."""
    monkeypatch.setattr(saturation, "int8_saturates", lambda _: True)


def test_this_processor_saturates_where_its_instruction_sets_say_so() -> None:
    here = processor.this_processor()
    if here is None:
        pytest.skip("the instruction sets of this processor are not known")
    assert saturation.int8_saturates(onnxruntime) == here.int8_saturates


@pytest.mark.parametrize(("name", "saturates"), [("nehalem", False), ("haswell", True)])
def test_an_emulated_processor_saturates_and_exact_kernels_do_not(name: str, saturates: bool, wide: Path) -> None:
    """127 * 127 * 16 is 258,064, which scale 2**15 rounds to 8; pairs of 255 * 127 are cut to 32,767 of 64,770."""
    python = emulated(name)
    command = python.command("-c", SCRIPT, str(wide))
    done = subprocess.run(command, env=python.environment, capture_output=True, check=True, timeout=120)
    told = msgspec.json.decode(done.stdout)
    right = round(127 * 127 * 16 / 2**15) * 2.0**15
    assert told["saturates"] == saturates
    assert told["None"] == [right, True if saturates else None, 1 if saturates else 0]
    assert told["True"][0] == right
    assert (told["False"][0] != right) == saturates


@pytest.mark.usefixtures("_saturating")
def test_only_a_file_that_may_saturate_is_opened_with_exact_kernels(wide: Path, narrow: Path, good: Path) -> None:
    with open_session(wide) as session:
        assert session.settings.exact_int8 is True
        assert session.warnings[-1] == SessionWarning(
            "exact-int8",
            "its int8 sums can saturate on processors without VNNI such as this one, so it runs with ONNX Runtime's "
            "exact kernels, which take longer and exist only for constant weights; other programs may compute it "
            "wrongly here",
        )
    for file in (narrow, good):
        with open_session(file) as session:
            assert session.settings.exact_int8 is None
            assert not any("int8" in warning.code for warning in session.warnings)


@pytest.mark.usefixtures("_saturating")
def test_what_was_asked_for_is_done(wide: Path) -> None:
    for asked in (True, False):
        with open_session(wide, Settings(exact_int8=asked)) as session:
            assert session.settings.exact_int8 is asked
            assert not any("int8" in warning.code for warning in session.warnings)


@pytest.mark.usefixtures("_saturating")
def test_a_contract_that_another_tool_copied_is_not_believed(wide: Path, good: Path) -> None:
    """ONNX Runtime's quantizer keeps the metadata of the fp32 file that it is given."""
    model = onnx.load(wide)
    onnx.helper.set_model_props(model, read_onnx_file(good).metadata)
    onnx.save(model, wide)
    with open_session(wide) as session:
        assert session.contract is not None
        assert {layer.type for layer in session.contract.layers} == {"fp32"}
        assert session.settings.exact_int8 is True


def test_the_processor_is_not_tried_for_a_file_that_fits(
    narrow: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried(_: object) -> bool:
        raise AssertionError

    monkeypatch.setattr(saturation, "int8_saturates", tried)
    for file in (narrow, good):
        open_session(file).close()


@pytest.mark.usefixtures("_saturating")
def test_without_exact_kernels_it_runs_all_the_same_and_says_so(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor without VNNI, ONNX Runtime refuses DynamicQuantizeLSTM so; here its refusal is made up."""
    real = placement.open_on

    def refusing(ort: object, file: Path, settings: Settings, contract: object) -> object:
        if settings.exact_int8:
            raise ModelError("no kernel")
        return real(ort, file, settings, None)

    monkeypatch.setattr(session_module, "open_on", refusing)
    with open_session(wide) as session:
        assert session.settings.exact_int8 is None
        assert session.warnings[-1].code == "inexact-int8"
        assert session.warnings[-1].text.endswith("cannot open it with exact kernels: its answers may be wrong here")


def test_exact_kernels_are_asked_for_in_the_options_of_the_session() -> None:
    from capsedge.runtime.ort.options import session_options

    key = "session.x64quantprecision"
    assert session_options(onnxruntime, Settings(exact_int8=True)).get_session_config_entry(key) == "1"
    with pytest.raises(RuntimeError, match=key):
        session_options(onnxruntime, Settings()).get_session_config_entry(key)
