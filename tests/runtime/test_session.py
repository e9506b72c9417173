"""Sessions: how a model is found by its file, and what running it promises."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from capsedge.errors import ModelError, ProviderError, WrongUse
from capsedge.runtime.open import open_session
from capsedge.runtime.session import contract_needed
from capsedge.runtime.settings import Settings
from tests.runtime.capsule_model import CLASSES, evaluate, graph, images, save_with


def test_a_session_computes_what_onnx_own_evaluator_computes(good: Path) -> None:
    batch = images(3, seed=7)
    lengths, poses = evaluate(good, batch)

    with open_session(good) as session:
        outputs = session.run(batch)

    assert outputs.lengths.dtype == outputs.poses.dtype == np.float32
    assert outputs.lengths.shape == (3, len(CLASSES))
    np.testing.assert_allclose(outputs.lengths, lengths, atol=1e-5)
    np.testing.assert_allclose(outputs.poses, poses, atol=1e-5)


def test_an_all_black_image_gives_numbers(good: Path) -> None:
    with open_session(good) as session:
        assert np.isfinite(session.run(np.zeros((1, 28, 28, 1), np.uint8)).lengths).all()


def test_a_session_knows_its_file_its_provider_and_its_contract(good: Path) -> None:
    with open_session(good) as session:
        assert session.file == good
        assert session.name == str(good)
        assert session.provider == "CPUExecutionProvider"
        assert session.batch_limits is None
        assert contract_needed(session).classes == CLASSES


def test_the_folder_of_a_run_that_was_not_exported_says_how_to_export_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no model\.onnx: capsedge export .*" + tmp_path.name):
        open_session(tmp_path)


@pytest.mark.parametrize("file", ["photo.JPG", "cat/photo.png"])
def test_a_folder_of_images_is_not_taken_for_a_run(file: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(ModelError, match=r"has images and no model: give an \.onnx file, .*capsedge mod"):
        open_session(tmp_path)
    (tmp_path / "run.json").touch()
    with pytest.raises(ModelError, match=r"holds no model\.onnx"):
        open_session(tmp_path)


def test_the_folder_of_a_run_without_that_means_its_only_export(good: Path, tmp_path: Path) -> None:
    (tmp_path / "model.int8.onnx").write_bytes(good.read_bytes())
    (tmp_path / "model.onnx.rejected").write_bytes(good.read_bytes())

    with open_session(tmp_path) as session:
        assert session.file == tmp_path / "model.int8.onnx"


def test_of_several_exports_without_that_a_person_has_to_choose(good: Path, tmp_path: Path) -> None:
    for name in ("model.int8.onnx", "model.fp16.onnx"):
        (tmp_path / name).write_bytes(good.read_bytes())

    with pytest.raises(WrongUse) as error:
        open_session(tmp_path)

    assert str(error.value) == (
        f"the folder '{tmp_path}' holds no model.onnx, but several exports: name one of "
        f"'{tmp_path / 'model.fp16.onnx'}', '{tmp_path / 'model.int8.onnx'}'"
    )
    (tmp_path / "model.onnx").write_bytes(good.read_bytes())
    with open_session(tmp_path) as session:
        assert session.file == tmp_path / "model.onnx"


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no model at '.*gone\.onnx'"):
        open_session(tmp_path / "gone.onnx")


def test_a_file_of_another_kind_is_refused_with_the_kinds_that_run(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")

    with pytest.raises(ModelError, match=r"'.*model\.pt' must be an \.onnx file, an \.engine file or the folder"):
        open_session(tmp_path / "model.pt")


def test_an_engine_does_not_run_on_the_cpu(tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"engine")

    with pytest.raises(ProviderError, match=r"TensorRT engine and cannot run on 'cpu': give the \.onnx file"):
        open_session(tmp_path / "model.engine", Settings(provider="cpu"))


def test_a_negative_number_of_threads_is_wrong_use(good: Path) -> None:
    with pytest.raises(WrongUse, match=r"threads: expected 0 .* or more, got -1"):
        open_session(good, Settings(threads=-1))


@pytest.mark.parametrize(
    ("batch", "given"),
    [
        (np.zeros((1, 28, 28, 1), np.float32), r"float32 \[1, 28, 28, 1\]"),
        (np.zeros((1, 1, 28, 28), np.uint8), r"uint8 \[1, 1, 28, 28\]"),
        (np.zeros((28, 28, 1), np.uint8), r"uint8 \[28, 28, 1\]"),
    ],
    ids=["normalized by the caller", "channels first", "no batch"],
)
def test_images_that_do_not_fit_are_refused_with_what_fits(good: Path, batch: np.ndarray, given: str) -> None:
    with (
        open_session(good) as session,
        pytest.raises(ModelError, match=rf"expected uint8 images of \[batch, 28, 28, 1\], got {given}"),
    ):
        session.run(batch)


def test_a_batch_that_the_model_cannot_take_is_refused(models: Path) -> None:
    with open_session(models / "batch-of-2.onnx") as session:
        assert session.batch_limits == (2, 2)
        with pytest.raises(ModelError, match=r"expected a batch of 2, got 3: use --batch 2"):
            session.run(images(3))


def test_a_model_without_a_contract_says_what_it_lacks(models: Path) -> None:
    with (
        open_session(models / "foreign.onnx") as session,
        pytest.raises(ModelError, match=r"carries no capsedge contract, so its class.*bench needs no contract"),
    ):
        session.run(images(1))


def test_a_contract_with_other_classes_than_the_graph_is_refused(good: Path, tmp_path: Path) -> None:
    with open_session(good) as session:
        contract = contract_needed(session)
    save_with(graph(), msgspec.structs.replace(contract, classes=CLASSES[:9]), tmp_path / "lying.onnx")

    with (
        open_session(tmp_path / "lying.onnx") as session,
        pytest.raises(ModelError, match=r"must give lengths of 9 classes for 1 images, it gave an .* of \[1, 10\]"),
    ):
        session.run(images(1))


def test_a_graph_without_the_outputs_of_its_contract_is_refused(good: Path, tmp_path: Path) -> None:
    model = onnx.load(good)
    del model.graph.output[1]
    onnx.save(model, tmp_path / "poseless.onnx")

    with (
        open_session(tmp_path / "poseless.onnx") as session,
        pytest.raises(ModelError, match=r"must give 'lengths' and 'poses', it gives 'lengths': export it again"),
    ):
        session.run(images(1))
