"""The tree of errors: what a user reads, and the exit code that a script reads."""

import ast
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import msgspec
import pytest

from capsedge import bench, errors, train
from capsedge.compress.overrides import check_overrides
from capsedge.errors import CapsedgeError, MissingExtra, ProviderError, WrongUse, damage, install, require
from capsedge.reproduce.cases import checked_kinds, chosen_rows, paper_set
from capsedge.runtime.loading import load
from capsedge.runtime.tensorrt.targets import check_names


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


ROOT = Path(errors.__file__).parent
KINDS = {"CapsedgeError", *(kind.__name__ for kind in CapsedgeError.__subclasses__()), "DamagedFile"}
TO_DO = re.compile(
    r"[:;] (add|allow|build|capsedge|check|choose|copy|export|get|give|install|leave|lower|make|measure|move|name|npm"
    r"|pass|pip|put|raise|rename|repeat|restore|resume|run|save|serve|set|start|there are:|train|unpack|use)\b"
)


def raised() -> Iterator[tuple[str, ast.Call]]:
    """Every error that the package makes, with its place."""
    for file in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def words(argument: ast.expr) -> str:
    """The words of a text, with {} in place of its values."""
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    return "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in parts)


def test_what_to_do_is_the_advice_of_an_error_and_not_a_part_of_its_text() -> None:
    """A program reads the advice from the JSON, and the line for people has it once."""
    mixed = {place: text for place, call in raised() if call.args and TO_DO.search(text := words(call.args[0]))}

    assert len(list(raised())) > 400
    assert mixed == {}


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: train(settings="train.epochs=5"), "list of settings, got the text 'train.epochs=5': give ['train."),
        (lambda: check_overrides("train.epochs=5"), "list of settings, got the text 'train.epochs=5'"),
        (lambda: bench("builtin", sweeps="threads=1,2"), "list of sweeps, got the text 'threads=1,2'"),
        (lambda: check_names("sm86"), "list of targets, got the text 'sm86': give ['sm86']"),
        (lambda: chosen_rows(None, "mnist"), "list of rows, got the text 'mnist'"),
        (lambda: checked_kinds("l2", paper_set("mnist"), "small"), "list of kinds, got the text 'l2'"),
    ],
    ids=["train", "compress", "bench", "lint", "table2", "fig3"],
)
def test_a_text_is_not_taken_for_a_list_of_its_letters(call: Callable[[], object], line: str) -> None:
    with pytest.raises(WrongUse, match=f"^expected a {re.escape(line)}"):
        call()


def test_every_kind_of_error_has_a_code_of_its_own() -> None:
    kinds: list[type[CapsedgeError]] = [CapsedgeError, *CapsedgeError.__subclasses__()]

    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code) for kind in kinds)


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        ("not_there.inner", "not_there"),
        ("half_installed", "its_missing_half"),
        ("shared_name.bindings.runtime", "shared_name"),  # as cuda.bindings where another package brings cuda
    ],
)
def test_require_says_which_package_is_missing_and_which_extra_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, missing: str
) -> None:
    (tmp_path / "half_installed.py").write_text("import its_missing_half\n")
    (tmp_path / "shared_name" / "other").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)

    wanted = rf"^this needs the Python package '{missing}', which is not installed: pip install 'capsedge\[trt\]'$"
    with pytest.raises(MissingExtra, match=wanted):
        require(asked, extra="trt")
    assert "half_installed" not in sys.modules


def test_require_does_not_hide_a_package_that_is_there_and_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_library.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object')\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ImportError, match=r"libcudart\.so"):
        require("broken_library", extra="gpu")


def test_ctrl_c_in_an_import_is_no_damaged_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a program that imports capsedge, and has Python's own handler of signals."""
    (tmp_path / "stopped_library.py").write_text(
        "try:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt as stop:\n    raise ImportError('x') from stop\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(KeyboardInterrupt):
        load("stopped_library", extra="cpu")


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
        ProviderError, match=r"installed but does not load .*: pip install --force-reinstall damaged_library$"
    ):
        load(asked, extra="cpu")


OTHERS = '[project]\nname = "other"\n'


@pytest.mark.parametrize(
    ("installed", "project", "command"),
    [
        (True, None, "pip install 'capsedge[cpu,trt]'"),
        (False, (ROOT.parent / "pyproject.toml").read_text(), "pip install '{}[cpu,trt]'"),
        (False, None, "pip install '.[cpu,trt]' in a checkout of capsedge"),  # its files alone, among other packages
        (False, OTHERS, "pip install '.[cpu,trt]' in a checkout of capsedge"),
    ],
)
def test_an_extra_is_installed_by_a_command_that_works_without_an_index(
    installed: bool, project: str | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if not installed:
            raise PackageNotFoundError(name)
        return "0.1.0"

    monkeypatch.setattr("importlib.metadata.version", version)
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "capsedge" / "errors.py"))
    if project is not None:
        (tmp_path / "pyproject.toml").write_text(project)
    assert install("cpu", "trt") == command.format(tmp_path)
