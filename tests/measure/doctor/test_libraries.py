"""What a shared library lacks, compared with what the system's loader says of it."""

import ctypes
import os
from pathlib import Path

import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as state

from capsedge.measure.doctor.libraries import absent, advice

LIBRARY = Path(state.__file__)
pytestmark = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the loader tells only Linux")


def test_a_whole_library_lacks_nothing() -> None:
    assert absent(LIBRARY) == []


@pytest.mark.parametrize("path", [os.environ["PATH"], ""], ids=["ldd", "no ldd"])
def test_a_library_that_is_not_there_is_named_as_the_loader_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("PATH", path)
    copy = tmp_path / "libaltered.so"
    copy.write_bytes(LIBRARY.read_bytes().replace(b"\0libm.so.6\0", b"\0libQ.so.6\0"))

    assert absent(copy) == ["libQ.so.6"]
    with pytest.raises(OSError, match=r"^libQ\.so\.6: cannot open shared object file"):
        ctypes.CDLL(str(copy))


@pytest.mark.parametrize("content", [b"", b"MZ of another system", b"\x7fELF\x02\x01", LIBRARY.read_bytes()[:5000]])
def test_what_is_no_whole_library_lacks_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.so").write_bytes(content)

    assert absent(tmp_path / "some.so") == absent(tmp_path / "none.so") == []


def test_each_library_leads_to_what_brings_it_once() -> None:
    found = advice(["libcublasLt.so.13", "libcudnn.so.9", "libcuda.so.1", "libnvinfer.so.10", "libother.so"])

    assert found.count("pip install 'onnxruntime-gpu[cuda,cudnn]'") == 1
    assert "install NVIDIA's driver" in found
    assert "TensorRT 10" in found
    assert found.count(", then ") == 2
