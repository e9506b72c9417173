"""The structure: the layers, its public names, and what the wheel carries to a stranger."""

import ast
import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import capsedge
from capsedge.recipe import DEFAULT_RECIPE, load_recipe

ROOT = Path(__file__).parent.parent
# What `pip install .` reads; copied, because setuptools leaves its build/ in the tree that it builds.
SOURCES = ("capsedge", "pyproject.toml", "README.md", "LICENSE")

# What people may import; a name that goes or comes is a line in CHANGELOG.md.
PUBLIC = {
    "capsedge": (
        "BenchReport Broken CapsedgeError Exported Guess Model Plan Prediction Run Settings Verification "
        "__version__ bench export_run load train"
    ),
    "capsedge.cli": "main",
    "capsedge.compress": "Compression Keep MaxErrorIncrease MaxLatency Options Target compress",
    "capsedge.data": "Dataset Overlaid Split decode_image download fit_image load_dataset",
    "capsedge.export": (
        "BuildOptions Exported RunExport StaticCapsNet build_engine check_options choose_package export_run "
        "gate_model"
    ),
    "capsedge.models": (
        "CapsNet Capsules build_network margin_loss primary_capsules reconstruction_loss squash squashed_length"
    ),
    "capsedge.reproduce": (
        "TrainingSettings fig1 fig2 fig3 fig4 mean_and_spread paired_difference redraw save_figure table2 trained"
    ),
    "capsedge.training": (
        "Evaluation Observer Run RunRecord Trainer dataset_of evaluate launch lengths_of new_run newest_run"
    ),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / "source")
    # Without isolation and index pip fetches nothing: setuptools is part of the developers' environment.
    build = ["pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "-w", ".", "./source"]
    done = subprocess.run([sys.executable, "-m", *build], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "torch.load",
    "np.lib.format.read_array",
}


def test_the_layers_import_in_one_direction() -> None:
    linter = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", linter], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def test_the_public_names_are_these() -> None:
    assert {package: " ".join(sorted(importlib.import_module(package).__all__)) for package in PUBLIC} == PUBLIC


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(package)

    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_what_takes_or_gives_an_array_says_its_shape() -> None:
    silent = [
        f"{file.relative_to(ROOT)}: {function.name}"
        for file in (ROOT / "capsedge").rglob("*.py")
        for function in public_functions(ast.parse(file.read_text(encoding="utf-8")))
        if "NDArray" in signature(function) and not SHAPE.search(ast.get_docstring(function) or "")
    ]
    assert silent == []


SHAPE = re.compile(r"\[[\w ,+*]+\]|shape")  # such as [N, classes]


def public_functions(inside: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """The functions and methods with a docstring whose names, and whose classes' names, begin with no underscore."""
    for each in inside.body:
        if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
            yield from public_functions(each)
        elif isinstance(each, ast.FunctionDef) and not each.name.startswith("_") and ast.get_docstring(each):
            yield each


def signature(function: ast.FunctionDef) -> str:
    """The parameters and the result of a function, with their types."""
    return f"{ast.unparse(function.args)} -> {'' if function.returns is None else ast.unparse(function.returns)}"


def test_installing_puts_one_name_into_site_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}

    assert tops == {"capsedge", f"capsedge-{capsedge.__version__}.dist-info"}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Modules, recipes, the data subset, the pages of bench, the built-in models, py.typed."""
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "capsedge").rglob("*") if path.is_file()}

    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == {
        name for name in files if "__pycache__" not in name
    }


def test_the_wheel_runs_nothing_that_a_file_holds(wheel: zipfile.ZipFile) -> None:
    """No eval, exec, shell, pickle or yaml in any module; the one that reads pickles says itself what it follows."""
    found = []
    for name in wheel.namelist():
        if name.endswith(".py"):
            found += [(name, what) for what in dangers(ast.parse(wheel.read(name)))]
    assert found == [("capsedge/data/plain_pickle.py", "import pickle")]


def dangers(tree: ast.AST) -> Iterator[str]:
    """Calls and imports by which content becomes code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"import {each}" for each in names if each.partition(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS or any(each.arg == "shell" for each in node.keywords):
                yield f"call {called}"


def test_every_promise_of_reliability_has_its_tests() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    held = [shlex.split(words) for words in re.findall(r"`(tests/[^`]*)`", page)]
    assert len(held) > 15
    for place, *rest in held:
        files = [ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("test_*.py"))
        tests = [name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)]
        for word in rest[1].split(" or ") if rest else [""]:
            assert any(word in name for name in tests), (place, word)


def test_the_wheel_carries_its_licences(wheel: zipfile.ZipFile) -> None:
    licences = {name.partition("/licenses/")[2] for name in wheel.namelist() if "/licenses/" in name}

    assert licences == {"LICENSE", "capsedge/data/fashion-mnist-subset/LICENSE"}


def test_the_wheel_makes_the_command(wheel: zipfile.ZipFile) -> None:
    scripts = wheel.read(f"capsedge-{capsedge.__version__}.dist-info/entry_points.txt").decode()

    assert re.search(r"^capsedge *= *capsedge\.__main__:main$", scripts, re.MULTILINE)


def test_neither_onnxruntime_is_a_base_dependency_and_torch_is_none_of_the_edges() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for wanted in (project["dependencies"], *(project["optional-dependencies"][extra] for extra in ("cpu", "gpu"))):
        assert not [each for each in wanted if re.match(r"torch|onnx(script)?\b", each)]
    assert not [each for each in project["dependencies"] if each.startswith("onnxruntime")]


def test_both_onnxruntimes_are_pinned_to_one_release() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))

    assert pins["onnxruntime"] == pins["onnxruntime-gpu"]


def test_every_requirement_is_pinned_for_developers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = set(re.findall(r"^([\w-]+)==\S+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]

    assert {re.split(r"[\[<>=!]", each)[0] for each in wanted} - {"capsedge"} <= pins


def test_the_classifiers_promise_every_system_and_python_that_ci_resolves_for() -> None:
    spec = importlib.util.spec_from_file_location("check_platforms", ROOT / "scripts" / "check_platforms.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    promise = script.promise(project)

    assert project["requires-python"] == f">={promise.pythons[0]}"
    assert promise.pythons == tuple(f"3.{minor}" for minor in range(11, 11 + len(promise.pythons)))  # without a gap
    assert promise.platforms == tuple(each for platforms in script.PLATFORMS.values() for each in platforms)
    assert script.EXTRAS.keys() <= project["optional-dependencies"].keys()
    assert "\nmake platforms\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the git checkout")
def test_what_tools_leave_behind_is_ignored_by_git() -> None:
    leftovers = [".venv/x", "runs/x", "build/x", "capsedge.egg-info/x", ".hypothesis/x", ".mypy_cache/x"]
    done = subprocess.run(["git", "check-ignore", *leftovers], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stdout.split() == leftovers


def test_no_test_is_named_by_bytes(request: pytest.FixtureRequest) -> None:
    """Bytes that hold the time, or are drawn at random, give a test another name in each of pytest's processes."""
    for test in request.session.items:
        given = (
            test.callspec.params.values() if isinstance(test, pytest.Function) and hasattr(test, "callspec") else ()
        )
        for value in given:
            if isinstance(value, bytes) and value:
                assert repr(value)[2:-1] not in test.name, f"name the cases of {test.nodeid} by ids="


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda path: path.stem)
def test_the_trainings_of_the_scripts_have_recipes(script: Path) -> None:
    words = [
        shlex.split(line) for line in script.read_text(encoding="utf-8").splitlines() if "capsedge train " in line
    ]
    for line in words:
        given = line[line.index("train") + 1 :]
        if "--resume" in given or any(word.startswith("$") for word in given[:1]):
            continue
        pairs = list(pairwise(given))
        name = given[0] if given and not given[0].startswith("-") else DEFAULT_RECIPE
        load_recipe(name, [value for option, value in pairs if option == "--set"])


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda path: path.stem)
def test_the_scripts_expand_empty_arrays_as_bash_3_2_wants_it(script: Path) -> None:
    """Under `set -u`, bash before 4.4 (macOS has 3.2) takes an empty array for an unset variable."""
    text = script.read_text(encoding="utf-8")
    for name in re.findall(r"\b(\w+)=\(\)", text):
        expansion = f'"${{{name}[@]}}"'
        safe = f"${{{name}[@]+{expansion}}}"
        assert expansion not in text.replace(safe, ""), f"write {safe}"
