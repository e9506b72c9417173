"""Export of a run to accepted files: collapse, ONNX, precision, contract, gate. Each step is one function."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from capsedge.contract import PRECISIONS, Calibration, Contract, Golden, Precision, Score, Usual, Verdict, contract_of
from capsedge.errors import GateRejected, ModelError
from capsedge.export.candidate import candidate_folder
from capsedge.export.collapse import deployable
from capsedge.export.contract import Pool, build_contract, golden_pool, golden_with
from capsedge.export.gate import Answers, Rejection, answers_of, explained, reference, tolerance_of, warning_of
from capsedge.export.onnx import load_graph, save_with_contract, to_onnx, with_batch
from capsedge.export.origin import alterations, check_origin
from capsedge.export.precision import CALIBRATION_IMAGES, METHODS, TypedGraphs, calibration_images
from capsedge.export.trial import lengths_of_all, tried
from capsedge.files import naming, write_atomically
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.infer.usual import usual_of
from capsedge.runtime.open import open_session
from capsedge.runtime.tensorrt.manifest import manifest_path, read_manifest
from capsedge.scoring import wrong_answers
from capsedge.training import Run

Tell = Callable[[str], None]
USUAL_IMAGES = 5000  # training images for `Contract.usual`
QUANTIZED: tuple[Precision, ...] = ("int8", "int8+fp16", "fp8")


@dataclass(frozen=True)
class Exported:
    """A file that the gate did not reject, and its contract."""

    path: Path
    contract: Contract


class RunExport:
    """Exports the files of a run; they share the network, the graph and the reference results.

    Args:
        run: A run with at least one finished epoch.
        decoder: Whether the files also compute a reconstruction.
        calibrate_on: Number of training images that calibrate int8 and fp8.
        max_error_increase: Replaces the gate's limits of the error: a share of the validation images, 0 to 1.
        tell: Called with the name of each step.

    Raises:
        ModelError: The run cannot be read.
        DataError: The run's data is no longer here.
        WrongUse: The network has no decoder, or the limit is not in 0 to 1.
    """

    def __init__(
        self,
        run: Run,
        *,
        decoder: bool = False,
        calibrate_on: int = CALIBRATION_IMAGES,
        max_error_increase: float | None = None,
        tell: Tell = lambda _: None,
    ) -> None:
        self.run = run
        self.decoder = decoder
        self.calibrate_on = calibrate_on
        self.max_error_increase = max_error_increase
        self.tell = tell
        self.network, self.dataset = run.load_best(), run.load_dataset()

    def export(
        self, precision: Precision = "fp32", output: Path | None = None, *, static_batch: int | None = None
    ) -> Exported:
        """Write the network's file of one precision and gate it.

        Args:
            precision: Types that the file computes in.
            output: File to write; None for its name in the run's folder (`file_name`).
            static_batch: Fixed batch of a file with static shapes; None for a free batch.

        Raises:
            GateRejected: The file does not compute what the network computes. It is kept as `<output>.rejected`, with
                a report beside it, and an older accepted file is removed.
            ModelError: A weight is out of the precision's range.
            WrongUse: There are too few images to calibrate on.
        """
        output = output or self.run.path / file_name(precision, static_batch)
        typed = self._graphs.make(precision)
        model = typed.model if static_batch is None else with_batch(typed.model, static_batch)
        with candidate_folder(output.parent) as folder:
            candidate = folder / output.name
            write_atomically(candidate, model.SerializeToString(deterministic=True))
            contract = self._contract(candidate, typed.calibration)
            save_with_contract(model, contract, candidate)
            return Exported(output, self._gate(candidate, output, contract))

    def gate(self, model: Path) -> Contract:
        """Gate an existing file, in place.

        An accepted file gets a new contract from its run. Of the old contract, which must agree with the run, only
        the calibration and the tool versions are kept. A file that was altered since its export gets a remark.

        Raises:
            GateRejected: See `export`.
            ModelError: The file is missing or damaged, or has no contract.
            WrongUse: The file was exported from another run.
        """
        if model.is_symlink():  # else a rejected file would stay where it is under its name
            model = model.resolve()
        file = read_onnx_file(model)
        old = contract_of(file, source=str(model))
        if old is None:
            raise ModelError(f"'{model}' carries no contract, so there is nothing to check", "use capsedge export")
        check_origin(model, old, self.run)
        try:
            contract = self._contract(model, old.calibration)
        except ModelError as error:  # its graph cannot be read
            verdict = Verdict(status="rejected", reasons=(str(error),))
            raise GateRejected(_set_aside(model, model, Rejection(verdict=verdict))) from error
        contract = msgspec.structs.replace(contract, versions=old.versions)
        return self._gate(model, model, contract, alterations(file, old))

    def _contract(self, file: Path, calibration: Calibration | None) -> Contract:
        return build_contract(
            self.run,
            file,
            self.network,
            self._pool,
            self._usual,
            dataset=self.dataset.title,
            calibration=calibration,
        )

    def _gate(self, candidate: Path, output: Path, contract: Contract, altered: tuple[str, ...] = ()) -> Contract:
        """Judge a file; write it to `output` with its contract and verdict, or keep it as rejected."""
        self.tell(f"{contract.precision}: the gate")
        tolerance = tolerance_of(contract.precision, max_error_increase=self.max_error_increase)
        expected = reference(
            self.network, contract, self.dataset.validation, self._answers, warning=warning_of(self.run)
        )
        trial = tried(candidate, expected, tolerance, self.dataset.test)
        model = load_graph(candidate)
        if trial.test_error is None or trial.golden_lengths is None:
            found = explained(trial.judgement, self._own_graphs(contract, altered), model, tolerance)
            raise GateRejected(_set_aside(candidate, output, found))
        verdict = trial.judgement.verdict
        verdict = msgspec.structs.replace(verdict, remarks=(*altered, *verdict.remarks))
        scores = (
            *contract.scores,
            Score(contract.precision, "validation", verdict.images, trial.judgement.error),
            Score(contract.precision, "test", len(self.dataset.test), trial.test_error),
        )
        contract = msgspec.structs.replace(
            contract, verdict=verdict, scores=scores, golden=_golden(contract, trial.golden_lengths)
        )
        save_with_contract(model, contract, output)
        _clear_up(output, contract)
        return contract

    def _own_graphs(self, contract: Contract, altered: tuple[str, ...]) -> list[onnx.ModelProto]:
        """The graphs to trace a rejected file against; for an altered file, first its original graph."""
        precision = {str(each): each for each in PRECISIONS}[contract.precision]
        calibration = contract.calibration
        if not altered or precision == "fp32" or (precision in QUANTIZED and calibration is None):
            return [self.model]  # how other tools quantized a file is not known
        self.tell(f"{precision}: exporting the original again, to locate the difference")
        graphs = TypedGraphs(
            self.model,
            lambda: calibration_images(self.dataset, calibration.images if calibration else self.calibrate_on),
            lambda *_: (0.0, 0.0),
            [method for method in METHODS if calibration is not None and method.name == calibration.method],
        )
        return [graphs.make(precision).model, self.model]

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The network's graph in fp32."""
        self.tell("collapsing and exporting")
        module = deployable(self.network, self.decoder, labels=self.dataset.labels_per_image)
        return to_onnx(module, self.dataset.shape)

    @cached_property
    def _answers(self) -> Answers:
        self.tell("running the trained network")
        return answers_of(self.network, self.dataset.validation.images)

    @cached_property
    def _pool(self) -> Pool:
        return golden_pool(self.network, self.dataset, self._answers.lengths)

    @cached_property
    def _usual(self) -> Usual:
        train = self.dataset.train.spread(USUAL_IMAGES).images
        answers = self._answers
        return usual_of(train, answers.images, answers.lengths.max(1))

    @cached_property
    def _graphs(self) -> TypedGraphs:
        return TypedGraphs(self.model, lambda: calibration_images(self.dataset, self.calibrate_on), self._score)

    def _score(self, candidate: onnx.ModelProto, method: str) -> tuple[float, float]:
        """Error and mean length difference of a quantized graph on the validation images."""
        self.tell(f"calibrating: {method}")
        split = self.dataset.validation
        with tempfile.TemporaryDirectory(prefix="capsedge-") as folder:
            file = Path(folder, "model.onnx")
            with naming(file):
                file.write_bytes(candidate.SerializeToString())
            with open_session(file) as session:
                lengths = lengths_of_all(session, split.images)
        difference = float(np.abs(lengths - self._answers.lengths).mean())
        return float(wrong_answers(lengths, split.labels).mean()), difference


def export_run(run: Run | str | Path, output: Path | None = None, precision: Precision = "fp32") -> Exported:
    """Export a run's best network in one precision and gate the file; see `RunExport.export`.

    Args:
        run: The run or its folder.
        output: File to write; None for its name in the run's folder.
        precision: Types that the file computes in.
    """
    chosen = run if isinstance(run, Run) else Run(Path(run))
    return RunExport(chosen).export(precision, output)


def gate_model(model: Path, run: Run, *, max_error_increase: float | None = None) -> Contract:
    """Gate an existing file against its run, in place; see `RunExport.gate`."""
    contract = contract_of(read_onnx_file(model), source=str(model))
    decoder = contract is not None and "reconstruction" in contract.outputs
    return RunExport(run, decoder=decoder, max_error_increase=max_error_increase).gate(model)


def file_name(precision: Precision, static_batch: int | None = None, stem: str = "model") -> str:
    """The name of a run's file of a precision, with a free batch or a fixed one: `model.batch1.int8.onnx`."""
    batch = "" if static_batch is None else f".batch{static_batch}"
    return f"{stem}{batch}.onnx" if precision == "fp32" else f"{stem}{batch}.{precision}.onnx"


def _golden(contract: Contract, lengths: NDArray[np.float32]) -> Golden:
    """The golden sample: in fp32 with the network's lengths, in lower precision with the file's own.

    Lower precision changes lengths far more than another machine does, and `verify` checks only the latter.
    """
    return contract.golden if contract.precision == "fp32" else golden_with(contract.golden, lengths)


def _set_aside(candidate: Path, output: Path, found: Rejection) -> str:
    """Keep a rejected file under a name that no command loads as a model; returns the error's text.

    An engine that was built from the file is removed.
    """
    kept, report = _rejected(output)
    candidate.replace(kept)
    output.unlink(missing_ok=True)
    _remove_engine(output.with_suffix(".engine"))
    write_atomically(report, found.to_json())
    return f"the gate rejected '{output}': {found.text}; kept as '{kept}', report in '{report}'"


def _clear_up(output: Path, contract: Contract) -> None:
    """Remove an earlier export's rejected file, report and engine of this file."""
    for old in _rejected(output):
        old.unlink(missing_ok=True)
    engine = output.with_suffix(".engine")
    if manifest_path(engine).exists() and not _built_from(engine, contract):
        _remove_engine(engine)


def _remove_engine(engine: Path) -> None:
    engine.unlink(missing_ok=True)
    manifest_path(engine).unlink(missing_ok=True)


def _built_from(engine: Path, contract: Contract) -> bool:
    try:
        return read_manifest(engine).contract.graph_sha256 == contract.graph_sha256
    except ModelError:  # keep an engine whose manifest cannot be read
        return True


def _rejected(output: Path) -> tuple[Path, Path]:
    """Names of a rejected file and of its report."""
    kept = output.with_name(output.name + ".rejected")
    return kept, kept.with_name(kept.name + ".json")
