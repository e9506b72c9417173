"""The checks, on this machine's own processor; and on an emulated Haswell, where QEMU is installed."""

import platform
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.portable.checks import CHECKS, check_one
from benchmarks.portable.emulators import HOST, PROCESSORS, EmulatedProcessor, Python, python_on
from benchmarks.portable.files import DATA, JudgedFiles, make_files
from capsedge.data import load_dataset
from capsedge.processor import this_processor

HERE = EmulatedProcessor("here", "this processor", "", "")
HASWELL = next(each for each in PROCESSORS if each.name == "haswell")
IMAGES = 10


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> JudgedFiles:
    return make_files(tmp_path_factory.mktemp("files"), IMAGES)


def largest_weight(file: Path) -> int:
    """The largest magnitude of an int8 weight."""
    arrays = [numpy_helper.to_array(each) for each in onnx.load(file).graph.initializer]
    return max(int(np.abs(array.astype(int)).max()) for array in arrays if array.dtype == np.int8 and array.ndim > 1)


def test_one_int8_file_has_weights_that_cannot_saturate_and_one_has_weights_of_8_bits(files: JudgedFiles) -> None:
    assert largest_weight(files.int8) == 64
    assert largest_weight(files.wide) == 127


def test_the_gates_images_are_test_images(files: JudgedFiles) -> None:
    test = {image.tobytes() for image in load_dataset(DATA).test.images}

    assert len(files.expected.labels) == IMAGES
    assert {image.tobytes() for image in files.expected.validation.images} <= test


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_passes_on_the_processor_that_gave_the_answers(files: JudgedFiles, name: str) -> None:
    checked = check_one(name, HERE, HOST, files)

    assert (checked.status, checked.reason) == ("passed", "")
    assert checked.found is not None
    if "gate" in name or "8-bit" in name:
        assert checked.found.images == IMAGES
        assert checked.found.processor == this_processor()
    if name == "infer":
        assert (checked.found.images, checked.found.largest_length_difference) == (10, 0)


def test_another_network_fails(files: JudgedFiles) -> None:
    checked = check_one("gate, fp32", HERE, HOST, replace(files, fp32=files.int8))

    assert checked.status == "failed"
    assert checked.found is not None
    assert "a length differs by" in checked.found.said


@pytest.mark.parametrize("name", ["verify", "infer", "gate, fp32"])
def test_a_python_that_does_not_start_fails_with_the_reason(files: JudgedFiles, name: str) -> None:
    checked = check_one(name, HERE, Python((sys.executable, "-c", "raise SystemExit('no libc')")), files)

    assert checked.status == "failed"
    assert checked.found is None
    assert checked.reason.endswith(": no libc")


@pytest.mark.skipif(shutil.which("qemu-x86_64-static") is None, reason="needs QEMU: apt-get install qemu-user-static")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates this very Python, which must be one for x86-64")
def test_on_a_haswell_weights_of_8_bits_saturate_and_those_of_an_export_do_not(files: JudgedFiles) -> None:
    python = python_on(HASWELL)

    saturating = check_one("8-bit weights", HASWELL, python, files).found
    exported = check_one("gate, int8", HASWELL, python, files).found
    mistaken = check_one("8-bit weights", HASWELL, python, replace(files, wide=files.int8))

    assert saturating is not None
    assert saturating.processor is not None
    assert saturating.processor.instruction_sets == ("sse4_1", "avx2")
    assert saturating.passed
    assert saturating.said.endswith("rejected as it must be")
    assert exported is not None
    assert exported.passed
    assert mistaken.status == "failed"  # a file that passes where it must not shows a check that sees nothing


@pytest.mark.parametrize(("turned", "status"), [(2, "passed"), (3, "failed")])
def test_two_images_may_turn_wrong_however_few_there_are(files: JudgedFiles, turned: int, status: str) -> None:
    """The file is the same; the answers that it is held against are made other ones, and right."""
    answers = files.expected.validation.lengths.argmax(1)
    right = answers.copy()
    right[:turned] = (right[:turned] + 1) % 10
    lengths = files.expected.validation.lengths.copy()
    lengths[np.arange(turned), right[:turned]] = 1 + lengths[:turned].max(1)  # so the reference alone has them right
    expected = replace(files.expected, labels=right, validation=replace(files.expected.validation, lengths=lengths))
    found = check_one("gate, fp32", HERE, HOST, replace(files, expected=expected)).found
    assert found is not None
    assert ("the error rises" in found.said) == (status == "failed")
