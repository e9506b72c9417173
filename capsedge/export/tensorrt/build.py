"""Builds a TensorRT engine with its manifest from an accepted ONNX file; TensorRT-RTX needs no GPU."""

import hashlib
import tempfile
from pathlib import Path

import msgspec
import onnx

from capsedge.contract import Contract, EngineManifest, Verdict, contract_of, encode
from capsedge.errors import ModelError, ProviderError
from capsedge.export.tensorrt.options import BuildOptions, Package, check_options, gpu
from capsedge.export.tensorrt.process import OnProgress, run_worker
from capsedge.export.tensorrt.rules import apply_rules
from capsedge.export.tensorrt.trtexec import trtexec_line
from capsedge.export.tensorrt.worker import Build, Built
from capsedge.files import write_atomically
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.tensorrt.manifest import manifest_path
from capsedge.runtime.tensorrt.targets import OLDEST_DEFAULT, listed, platform_here, takes, unable


def build_engine(
    model: Path,
    engine: Path | None = None,
    options: BuildOptions = BuildOptions(),  # noqa: B008 - frozen
    *,
    progress: OnProgress | None = None,
) -> tuple[Path, EngineManifest]:
    """Build an engine from an exported ONNX file and write its manifest beside it, `<engine>.json`.

    If the build fails, the engine of an earlier build is kept.

    Args:
        model: An ONNX file that the gate accepted or could not execute here.
        engine: Engine file to write; None for the model's name with `.engine`.
        options: Build options.
        progress: Called with the name of a phase, its completed steps and its total steps.

    Raises:
        MissingExtra: No TensorRT is installed.
        ModelError: The file has no such contract, was altered since the gate, or is refused by TensorRT.
        ProviderError: Only classic TensorRT is installed and there is no GPU; the error has the command for the
            target machine.
        WrongUse: The options contradict each other; the batch is not in rising order; a target is unknown, or cannot
            compute a type of the file.
    """
    engine = engine or model.with_suffix(".engine")
    contract = _gated(model)
    package = check_options(options)
    _check_graph(model, contract, options, package)
    content, built = _built(model, options, package, progress)
    if built.no_builder:
        return engine, _defer(model, engine, contract, options, package, built)
    if built.errors:
        raise ModelError(f"{package} {built.version} built no engine from '{model}': {'; '.join(built.errors)}")
    builder = gpu() if package == "tensorrt" else None
    manifest = EngineManifest(
        engine_sha256=hashlib.sha256(content).hexdigest(),
        package=package,
        package_version=built.version,
        targets=options.targets if builder is None else (builder.target,),
        gpu="" if builder is None else builder.name,
        platform=platform_here(),
        batch=options.batch,
        workspace_mb=options.workspace_mb,
        hardware_compatible=options.hardware_compatible,
        warnings=(*built.warnings, *_narrower_than_default(contract, options, package)),
        build_seconds=round(built.seconds, 3),
        size_bytes=len(content),
        precision=built.precision,
        contract=_unexecuted(contract),
    )
    write_atomically(engine, content)
    save_manifest(engine, manifest)
    return engine, manifest


def save_manifest(engine: Path, manifest: EngineManifest) -> None:
    """Write the manifest of an engine beside it."""
    write_atomically(manifest_path(engine), msgspec.json.format(encode(manifest)))


def _gated(model: Path) -> Contract:
    """Read the contract of a file that an engine may be built from."""
    file = read_onnx_file(model)
    contract = contract_of(file, source=str(model))
    if contract is None or contract.verdict is None or contract.verdict.status == "rejected":
        raise ModelError(f"'{model}' carries no accepted contract", "make it with capsedge export")
    if file.graph_sha256 != contract.graph_sha256:
        raise ModelError(f"'{model}' was altered since its gate", f"run capsedge gate {model}")
    return contract


def _check_graph(model: Path, contract: Contract, options: BuildOptions, package: Package) -> None:
    """Refuse a graph whose build would fail, or whose engine would compute something else."""
    for target in options.targets:
        if why := unable(contract.layers, target, package):
            able = listed(takes(target, package))
            raise ModelError(
                f"'{model}' cannot become an engine for {target}: {why}", f"use --precision {able}, or leave it out"
            )
    refused = [finding for finding in apply_rules(onnx.load_model(str(model))) if finding.severity == "refused"]
    if refused:
        first = refused[0]
        raise ModelError(
            f"'{model}' cannot become an engine: {first.node} ({first.operator}): {first.reason}",
            f"{first.advice}; capsedge lint {model} shows all {len(refused)}",
        )


def _built(model: Path, options: BuildOptions, package: Package, progress: OnProgress | None) -> tuple[bytes, Built]:
    """Build in a separate process and folder, so that no partial engine is written beside the model."""
    with tempfile.TemporaryDirectory(prefix="capsedge-") as folder:
        plan = Path(folder, "engine")
        job = Build(
            package=package,
            onnx=str(model),
            engine=str(plan),
            batch=options.batch,
            targets=options.targets,
            workspace_mb=options.workspace_mb,
            hardware_compatible=options.hardware_compatible,
        )
        built = run_worker(job, Built, progress)
        return b"" if built.errors else plan.read_bytes(), built


def _defer(
    model: Path, engine: Path, contract: Contract, options: BuildOptions, package: Package, built: Built
) -> EngineManifest:
    """Write the manifest of an engine that another machine will build, if that is allowed.

    An older engine is removed: beside a manifest without a hash it would be taken for the new one.
    """
    line = trtexec_line(model, engine, contract.input, options)
    if not options.allow_deferred:
        raise ProviderError(
            "; ".join(built.errors),
            f"build the engine on its target machine, in the folder with '{model.name}': "
            f"{line} (--allow-deferred writes the manifest that belongs beside it)",
        )
    manifest = EngineManifest(
        engine_sha256="",
        package=package,
        package_version="",
        targets=(),
        batch=options.batch,
        workspace_mb=options.workspace_mb,
        hardware_compatible=options.hardware_compatible,
        deferred=line,
        build_seconds=0.0,
        size_bytes=0,
        precision={},
        contract=_unexecuted(contract),
    )
    engine.unlink(missing_ok=True)
    save_manifest(engine, manifest)
    return manifest


def _unexecuted(contract: Contract) -> Contract:
    """The contract with the verdict of an engine that was not executed: the ONNX file's verdict does not apply."""
    return msgspec.structs.replace(contract, verdict=Verdict(status="not executed here"))


def _narrower_than_default(contract: Contract, options: BuildOptions, package: Package) -> tuple[str, ...]:
    """A warning if some GPUs of the builder's default cannot compute the file's types; the build succeeds anyway."""
    default = package == "tensorrt_rtx" and not options.targets
    why = unable(contract.layers, OLDEST_DEFAULT, package) if default else ""
    return (why,) if why else ()
