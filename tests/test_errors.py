"""The tree of errors: what a user reads, and the exit code that a script reads."""

import pickle
import re
import sys
from pathlib import Path

import msgspec
import pytest

from capsedge import errors
from capsedge.errors import CapsedgeError, MissingExtra, ProviderError, damage, require
from capsedge.runtime.loading import load


def test_every_error_has_the_exit_code_that_the_tree_in_the_docstring_draws() -> None:
    drawn = dict(re.findall(r"(\w+) +exit (\d+)", errors.__doc__ or ""))
    defined = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]

    assert all(issubclass(kind, CapsedgeError) for kind in defined)
    assert drawn == {kind.__name__: str(kind.exit_code) for kind in defined if issubclass(kind, CapsedgeError)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": {"b": 1}}', "a.b: expected str, got int"),
        ('{"c": [{"b": "x"}, {"b": 2}]}', "c[1].b: expected str, got int"),
        ("[]", "Expected object, got array"),
    ],
)
def test_damage_is_told_by_the_name_of_the_field(text: str, told: str) -> None:
    class Inner(msgspec.Struct, frozen=True):
        b: str = ""

    class Outer(msgspec.Struct):
        a: Inner = Inner()
        c: list[Inner] = []

    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.json.decode(text, type=Outer)
    assert damage(error.value) == told


def test_an_error_is_text_and_advice_in_one_line_and_survives_a_process_boundary() -> None:
    error = ProviderError("there is no GPU", "use the CPU", code="no-gpu")
    copy = pickle.loads(pickle.dumps(error))

    assert str(error) == "there is no GPU: use the CPU"
    assert str(ProviderError("there is no GPU")) == "there is no GPU"
    assert (copy.text, copy.advice, copy.code, str(copy)) == (error.text, error.advice, "no-gpu", str(error))


def test_every_kind_of_error_has_a_code_of_its_own() -> None:
    kinds: list[type[CapsedgeError]] = [CapsedgeError, *CapsedgeError.__subclasses__()]

    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code) for kind in kinds)


def test_wrong_use_differs_from_failure_as_2_does_from_1() -> None:
    assert errors.WrongUse.exit_code == 2
    assert errors.DataError.exit_code == 1


def test_require_gives_the_module_that_is_installed() -> None:
    import json.decoder

    assert require("json.decoder", extra="cpu") is json.decoder


def test_require_says_which_extra_brings_what_is_missing() -> None:
    wanted = r"^this needs the Python package 'not_there', which is not installed: pip install 'capsedge\[trt\]'$"
    with pytest.raises(MissingExtra, match=wanted):
        require("not_there.inner", extra="trt")


def test_require_names_the_dependency_that_a_half_installed_package_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("import its_missing_half\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(MissingExtra, match="'its_missing_half'"):
        require("half_installed", extra="gpu")

    assert "half_installed" not in sys.modules


def test_require_does_not_hide_a_package_that_is_there_and_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_library.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object')\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ImportError, match=r"libcudart\.so"):
        require("broken_library", extra="gpu")


@pytest.mark.parametrize("asked", ["damaged_library", "damaged_library.api"])
def test_a_package_that_lacks_a_part_of_itself_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    (tmp_path / "damaged_library").mkdir()
    (tmp_path / "damaged_library" / "__init__.py").touch()
    (tmp_path / "damaged_library" / "api.py").write_text("from damaged_library.core import run\n")
    if asked == "damaged_library":
        (tmp_path / "damaged_library" / "__init__.py").write_text("import damaged_library.core\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match=r"damaged_library\.core"):
        require(asked, extra="cpu")
    with pytest.raises(
        ProviderError, match=r"installed but does not load .*: pip install --force-reinstall 'capsedge\[cpu\]'"
    ):
        load(asked, extra="cpu")


def test_a_part_of_a_shared_name_that_is_not_installed_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `cuda.bindings.runtime` where another package brings `cuda`."""
    (tmp_path / "shared_name" / "other").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(MissingExtra, match="'shared_name', which is not installed"):
        require("shared_name.bindings.runtime", extra="trt")
