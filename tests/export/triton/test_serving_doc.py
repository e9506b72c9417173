"""What docs/serving.md tells people to write is what a served model takes."""

import json
import re
from math import prod
from pathlib import Path

import pytest

import capsedge
from capsedge.export.triton import write_repository
from capsedge.fit import Fit
from tests.export.triton.conftest import parsed

ROOT = Path(capsedge.__file__).parents[1]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_request_on_the_page_fits_the_configuration(
    accepted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By KServe's protocol: every input of the model, of its type and shape, with a number for each element."""
    config = parsed(write_repository(tmp_path / "models", accepted))
    (script,) = (block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "request.json" in block)
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "docs/serving.md", "exec"), {})

    request = json.loads(Path("request.json").read_text())
    (image,) = request["inputs"]
    (input_,) = config.input
    assert (image["name"], f"TYPE_{image['datatype']}") == (input_.name, "TYPE_UINT8")
    assert image["shape"] == [1, *input_.dims]
    assert len(image["data"]) == prod(image["shape"])
    assert all(isinstance(value, int) and 0 <= value <= 255 for value in image["data"])
    assert max(image["data"]) > 0
    (wanted,) = request["outputs"]
    assert next(each.label_filename for each in config.output if each.name == wanted["name"]) == "labels.txt"


def test_the_page_fits_images_as_the_contract_of_its_model_does() -> None:
    fit = Fit()

    assert f'Fit(resize="{fit.resize}", frame="{fit.frame}", levels="{fit.levels}")' in PAGE


def test_the_page_names_the_fields_as_the_configuration_has_them(accepted: Path, tmp_path: Path) -> None:
    folder = write_repository(tmp_path / "models", accepted)
    text = (folder / "config.pbtxt").read_text()

    named = ("max_batch_size", "max_queue_delay_microseconds", "preferred_batch_size", "instance_group")
    for field in (*named, "intra_op_thread_count", "KIND_CPU", "capsedge.labels"):
        assert field in text
        assert f"`{field}" in PAGE
