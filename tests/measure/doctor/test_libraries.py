"""What a shared library needs, compared with what the system's loader did for it."""

import ctypes
from pathlib import Path

import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as state

from capsedge.measure.doctor.libraries import absent, advice, needed

LIBRARY = Path(state.__file__)
pytestmark = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the loader tells only Linux")


def test_what_is_needed_is_what_the_loader_mapped() -> None:
    mapped = {Path(line.split()[-1]).name for line in Path("/proc/self/maps").read_text().splitlines()}

    assert "libc.so.6" in needed(LIBRARY)
    assert [name for name in needed(LIBRARY) if not any(file.startswith(name) for file in mapped)] == []
    assert absent(LIBRARY) == []


def test_a_library_that_is_not_there_is_named_as_the_loader_names_it(tmp_path: Path) -> None:
    copy = tmp_path / "libaltered.so"
    copy.write_bytes(LIBRARY.read_bytes().replace(b"\0libm.so.6\0", b"\0libQ.so.6\0"))

    assert absent(copy) == ["libQ.so.6"]
    with pytest.raises(OSError, match=r"^libQ\.so\.6: cannot open shared object file"):
        ctypes.CDLL(str(copy))


@pytest.mark.parametrize("content", [b"", b"MZ of another system", b"\x7fELF\x02\x01", LIBRARY.read_bytes()[:5000]])
def test_what_is_no_whole_library_needs_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.so").write_bytes(content)

    assert needed(tmp_path / "some.so") == needed(tmp_path / "none.so") == []


def test_each_library_leads_to_what_brings_it_once() -> None:
    found = advice(["libcublasLt.so.13", "libcudnn.so.9", "libcuda.so.1", "libnvinfer.so.10", "libother.so"])

    assert found.count("pip install 'onnxruntime-gpu[cuda,cudnn]'") == 1
    assert "install NVIDIA's driver" in found
    assert "TensorRT 10" in found
    assert found.count(", then ") == 2
