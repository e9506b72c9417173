"""Change the code at random places and see which changes no test notices: `make mutants` (cosmic-ray).

A copy of the tree is changed, never the tree itself. Of all changes that cosmic-ray knows for an area's files, a
sample is tried with the area's own tests; the same seed takes the same sample.
"""

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Area:
    """Code, and the tests that hold it.

    Attributes:
        code: Files and folders.
        tests: What pytest gets.
    """

    code: tuple[str, ...]
    tests: tuple[str, ...]


AREAS = {
    "models": Area(("capsedge/models",), ("tests/models",)),
    "gate": Area(("capsedge/export/gate",), ("tests/export/gate", "tests/export/test_gate.py")),
    "contract": Area(
        ("capsedge/contract.py",),
        (
            "tests/test_contract.py",
            "tests/test_schema.py",
            "tests/runtime/test_inspection.py",
            "tests/runtime/test_int8_pairs.py",
        ),
    ),
    "infer": Area(("capsedge/runtime/infer",), ("tests/runtime/infer", "tests/runtime/test_models.py")),
}


@contextlib.contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of the files that git knows, as the working folder of everything that is started."""
    with tempfile.TemporaryDirectory(prefix="capsedge-mutants-") as folder:
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, names.decode().split("\0")):
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        os.chdir(folder)
        os.environ |= {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            yield Path(folder)
        finally:
            os.chdir(ROOT)


def possible(code: Sequence[str]) -> list[MutationSpec]:
    """All changes of the files, without those of annotations and of texts that only people read."""
    files = [
        each for name in code for each in ([Path(name)] if name.endswith(".py") else sorted(Path(name).rglob("*.py")))
    ]
    with use_db("session.sqlite", WorkDB.Mode.create) as database:
        init(files, database, {})
        found = [mutation for item in database.work_items for mutation in item.mutations]
    return [each for each in found if not _is_annotation(each)]


def _is_annotation(mutation: MutationSpec) -> bool:
    """`X | None` in a signature is an operator for the tool, and no test can notice what it becomes."""
    line = Path(mutation.module_path).read_text().splitlines()[mutation.start_pos[0] - 1]
    return "BitOr" in mutation.operator_name and "|" in line


def main() -> int:
    """Print the score of each area, and the changes that survived.

    Returns:
        0; a score is no promise.
    """
    names = ", ".join(AREAS)
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.mutants", description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"all where none is given: {names}")
    parser.add_argument("--sample", type=int, default=60, help="changes of each area (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="another number takes another sample (default: 0)")
    parser.add_argument(
        "--patience",
        type=float,
        default=5,
        help="how many times as long as without a change the tests may take; a change that makes them endless is "
        "noticed (default: 5)",
    )
    given = parser.parse_args()
    if unknown := {*given.areas} - {*AREAS}:
        parser.error(f"expected areas of {names}, got {', '.join(sorted(unknown))}")
    print("| area | changes known | tried | noticed | of them by time |\n|---|---|---|---|---|", flush=True)
    with copied_tree():
        for name in given.areas or AREAS:
            area = AREAS[name]
            command = f"{sys.executable} -m pytest -x -n 0 -p no:cacheprovider --no-header {' '.join(area.tests)}"
            start = time.monotonic()
            if subprocess.run(command.split(), capture_output=True, check=False).returncode:
                parser.error(f"the tests of {name} fail without a change: {command}")
            limit = given.patience * (time.monotonic() - start)
            known = possible(area.code)
            tried = random.Random(given.seed).sample(known, min(given.sample, len(known)))
            survived = late = 0
            for each in tried:
                found = mutate_and_test([each], command, limit)
                late += found.output == "timeout"
                if not found.is_killed:
                    survived += 1
                    print(
                        f"  {each.module_path}:{each.start_pos[0]} {each.operator_name} {each.occurrence}", flush=True
                    )
            share = 100 * (1 - survived / len(tried))
            print(f"| {name} | {len(known):,} | {len(tried)} | {share:.0f} % | {late} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
