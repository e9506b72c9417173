"""A model's folder holds what its configuration points to."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest

from capsedge.contract import Verdict
from capsedge.errors import ModelError, WrongUse
from capsedge.export.triton import write_repository
from capsedge.runtime.open import open_session
from capsedge.runtime.tensorrt.manifest import read_manifest
from capsedge.runtime.verify import verify
from capsedge.training import Run
from tests.export.triton.conftest import EngineMaker, parsed
from tests.export.triton.folders import labels_of, served_file, tree
from tests.export.triton.test_source import rewrite
from tests.export.typed_files import contract_in
from tests.runtime.capsule_model import CLASSES, graph


def test_the_file_that_the_configuration_points_to_computes_what_the_exported_one_does(
    exported: Run, tmp_path: Path
) -> None:
    original = exported.path / "model.onnx"
    folder = write_repository(tmp_path / "models", original)

    config, shape = parsed(folder), contract_in(original).input.shape
    outputs = [each.name for each in config.output]
    served = onnxruntime.InferenceSession(str(served_file(folder)), providers=["CPUExecutionProvider"])
    first = onnxruntime.InferenceSession(str(original), providers=["CPUExecutionProvider"])
    assert [each.name for each in served.get_inputs()] == [config.input[0].name]
    for batch in (1, 3, config.max_batch_size):
        feed = {config.input[0].name: np.random.default_rng(batch).integers(0, 256, (batch, *shape), np.uint8)}
        got, wanted = served.run(outputs, feed), first.run(outputs, feed)
        assert [each.shape for each in got] == [(batch, *each.dims) for each in config.output]
        assert all(np.array_equal(one, other) for one, other in zip(got, wanted, strict=True))
    assert labels_of(folder) == list(contract_in(original).classes)


def test_the_served_file_can_be_verified_where_it_lies(accepted: Path, tmp_path: Path) -> None:
    folder = write_repository(tmp_path / "models", accepted)

    with open_session(served_file(folder)) as session:
        assert verify(session).ok


def test_an_engine_lies_beside_its_manifest(make_engine: EngineMaker, tmp_path: Path) -> None:
    engine = make_engine()
    folder = write_repository(tmp_path / "models", engine)

    assert sorted(tree(folder)) == ["1/model.plan", "1/model.plan.json", "config.pbtxt", "labels.txt"]
    assert served_file(folder).read_bytes() == engine.read_bytes()
    assert read_manifest(served_file(folder)) == read_manifest(engine)


def test_whoever_opens_the_configuration_reads_the_verdict_first(make_engine: EngineMaker, tmp_path: Path) -> None:
    engine = make_engine(Verdict(status="not executed here"))
    folder = write_repository(tmp_path, engine, allow_unexecuted=True)

    mark, release, verdict, *_ = (folder / "config.pbtxt").read_text().splitlines()
    assert mark.startswith("# Written by capsedge")
    assert "TensorRT 10.13.3.9" in release
    assert verdict.startswith("# NOT EXECUTED")


def test_a_remark_cannot_break_out_of_its_line(make_engine: EngineMaker, tmp_path: Path) -> None:
    engine = make_engine(package_version='10.13\nname: "other"')

    assert parsed(write_repository(tmp_path, engine)).name == "small-capsules-tensorrt"


AWKWARD = ("T-shirt/top", "Kräuter & Öl", "靴", "🥾", 'a "b"', "c:d", "\ttab", "  two spaces  ", "", "back\\slash")


def test_class_names_survive_as_they_are(accepted: Path, tmp_path: Path) -> None:
    assert len(AWKWARD) == len(CLASSES)
    rewrite(accepted, graph(), classes=AWKWARD)

    assert labels_of(write_repository(tmp_path, accepted)) == list(AWKWARD)


@pytest.mark.parametrize("name", ["two\nlines", "two\r\nlines", "old\rMac"])
def test_a_class_name_with_a_line_break_is_refused_in_one_line(name: str, accepted: Path, tmp_path: Path) -> None:
    rewrite(accepted, graph(), classes=(*CLASSES[:-1], name))

    with pytest.raises(
        ModelError, match="has a line break, but Triton reads one name from each line: rename it"
    ) as told:
        write_repository(tmp_path / "models", accepted)
    assert len(str(told.value).splitlines()) == 1
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("run", "folder"),
    [
        ("fashion-mnist-l2-small", "fashion-mnist-l2-small"),
        ("Kräuter & Öl (2)", "Krauter-Ol-2"),
        ('a "quoted" run', "a-quoted-run"),
        ("../up", "up"),
        (".hidden", "hidden"),
        ("a.b_c-d", "a.b_c-d"),
        ("x" * 300, "x" * 128),
    ],
)
def test_a_model_is_called_after_its_run(run: str, folder: str, accepted: Path, tmp_path: Path) -> None:
    rewrite(accepted, graph(), name=run)
    written = write_repository(tmp_path / "models", accepted)

    assert written == tmp_path / "models" / folder
    assert parsed(written).name == folder


def test_a_run_whose_name_leaves_no_letter_needs_another(accepted: Path, tmp_path: Path) -> None:
    rewrite(accepted, graph(), name="靴")

    with pytest.raises(WrongUse, match=r"model name: expected .* got ''"):
        write_repository(tmp_path / "models", accepted)
    assert write_repository(tmp_path / "models", accepted, name="shoes").name == "shoes"


def test_the_models_of_one_run_lie_side_by_side(accepted: Path, make_engine: EngineMaker, tmp_path: Path) -> None:
    engine = make_engine()
    write_repository(tmp_path / "models", accepted)
    before = tree(tmp_path / "models")
    (layer,) = contract_in(accepted).layers
    rewrite(accepted, graph(), layers=(msgspec.structs.replace(layer, type="int8", output="fp16"),))
    write_repository(tmp_path / "models", accepted)
    write_repository(tmp_path / "models", engine)

    assert sorted(each.name for each in (tmp_path / "models").iterdir()) == [
        "small-capsules",
        "small-capsules-int8-fp16",
        "small-capsules-tensorrt",
    ]
    assert before.items() <= tree(tmp_path / "models").items()


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", 'a"b', "a'b", "a/b", "a\\b", "..", ".hidden", "-x", "é", "靴", "a\n", "a%20b", "a+b", "x" * 129],
)
def test_a_name_that_cannot_be_part_of_a_url_is_refused(name: str, accepted: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="model name: expected") as told:
        write_repository(tmp_path / "models", accepted, name=name)
    assert len(str(told.value).splitlines()) == 1
    assert not (tmp_path / "models").exists()


def test_the_server_which_is_another_user_may_read_the_folder(accepted: Path, tmp_path: Path) -> None:
    """A temporary folder is its owner's alone; what was made in it must not be."""
    (tmp_path / "usual").mkdir()
    folder = write_repository(tmp_path / "models", accepted)

    usual = (tmp_path / "usual").stat().st_mode
    assert [each.stat().st_mode for each in (folder, folder / "1")] == [usual, usual]


def test_a_model_that_may_not_be_served_leaves_no_folder(accepted: Path, tmp_path: Path) -> None:
    onnx.save(graph(), accepted)

    with pytest.raises(ModelError, match="has no contract with a verdict"):
        write_repository(tmp_path / "models", accepted)
    assert not (tmp_path / "models").exists()
