""".github/workflows: what GitHub would refuse, and what the comments promise; none of it has run on GitHub."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from capsedge.version import __version__
from tests.cli.conftest import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
each_workflow = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def read(file: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    content["on"] = content.pop(True)  # YAML 1.1 takes the key `on` for a boolean
    return content


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job.get("steps", [])
    return found


def workflow(name: str) -> dict[Any, Any]:
    return read(ROOT / ".github" / "workflows" / f"{name}.yml")


@each_workflow
def test_a_workflow_is_whole(file: Path) -> None:
    content = read(file)
    assert content.keys() <= {"name", "on", "permissions", "concurrency", "jobs"}
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert set(job.get("needs", [])) <= content["jobs"].keys() - {name}
        if called := job.get("uses"):
            assert "workflow_call" in read(ROOT / called)["on"]
            continue
        assert {"runs-on", "timeout-minutes", "steps"} <= job.keys()
        for step in steps(job):
            assert ("run" in step) != ("uses" in step), step
            assert re.fullmatch(r"[\w-]+/[\w-]+@\S+", step.get("uses", "a/b@c")), step
        used = set(re.findall(r"\$\{\{ *matrix\.(\w+) *\}\}", str(job)))
        assert used == set(job.get("strategy", {}).get("matrix", {}))


@each_workflow
def test_its_commands_are_shell_and_exist(file: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for job in read(file)["jobs"].values():
        for script in (step["run"] for step in steps(job) if "run" in step):
            parsed = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
            assert parsed.returncode == 0, parsed.stderr
            for word in shlex.split(script):
                if word.startswith((".ci/", "examples/", "samples", "capsedge/")):
                    assert (ROOT / word).exists(), word
            assert set(re.findall(r"^make (\w+)", script, re.MULTILINE)) <= {*targets}


def test_the_jobs_are_for_every_python_and_system_that_the_classifiers_name() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    promised = {found[1] for each in classifiers if (found := re.fullmatch(r".*:: Python :: (3\.\d+)", each))}
    jobs = workflow("tests")["jobs"]
    tested = {*jobs["pythons"]["strategy"]["matrix"]["python"]}
    tested |= {step["with"]["python-version"] for step in steps(jobs["check"]) if "with" in step}
    assert tested == promised
    systems = jobs["systems"]["strategy"]["matrix"]["system"]
    assert {each.partition("-")[0] for each in systems} == {"macos", "windows", "ubuntu"}


def test_the_readme_says_of_every_system_and_python_that_the_classifiers_name_whether_it_was_run() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    named = {found[1] for each in classifiers if (found := re.fullmatch(r".*:: Python :: (3\.\d+)", each))}
    named |= {each.rpartition(" ")[2].lower() for each in classifiers if each.startswith("Operating System")}
    rows = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Verified")[2].partition("##")[0].lower()
    assert named == {name for name in named if name in rows}


def test_one_job_publishes_without_a_stored_secret_after_the_tests() -> None:
    texts = [file.read_text(encoding="utf-8") for file in FILES]
    assert not [text for text in texts if "secrets." in text or "password" in text.partition("jobs:")[2]]
    jobs = workflow("release")["jobs"]
    assert [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})] == ["publish"]
    publish = jobs["publish"]
    assert publish["environment"]
    assert publish["permissions"] == {"id-token": "write"}
    assert set(publish["needs"]) == {"tests", "build"}
    assert not [step for step in steps(publish) if "run" in step or "checkout" in step["uses"]]


@pytest.mark.parametrize(("tag", "code"), [(f"v{__version__}", 0), ("v99.0.0", 1)])
def test_a_tag_that_is_not_the_version_builds_nothing(tag: str, code: int) -> None:
    named = {step.get("name"): step for step in steps(workflow("release")["jobs"]["build"])}
    script = named["Check that the tag is the version"]["run"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env={**os.environ, "GITHUB_REF_NAME": tag, "PATH": path}, check=False
    )
    assert done.returncode == code
