"""Builds an engine of an exported file, by TensorRT's Python or by trtexec."""

import shlex
import subprocess
from pathlib import Path

import msgspec

from benchmarks.prove.asked import BuildWanted
from benchmarks.prove.record import NotPossible
from capsedge.contract import Contract, EngineManifest, Verdict, contract_of
from capsedge.errors import ModelError, WrongUse
from capsedge.export import BuildOptions, build_engine, check_options
from capsedge.export.tensorrt import save_manifest, trtexec_line
from capsedge.onnx_lite.file import read_onnx_file


def work(wanted: BuildWanted) -> EngineManifest:
    """Build, and give the manifest that lies beside the engine then.

    Raises:
        NotPossible: TensorRT-RTX does not build for this GPU.
        ModelError: TensorRT or trtexec built nothing.
    """
    options = BuildOptions(targets=wanted.targets, hardware_compatible=wanted.hardware_compatible)
    if wanted.trtexec:
        return deferred(wanted, options)
    try:
        check_options(options)
    except WrongUse as error:  # of our own options the target alone can be wrong: this GPU is none of the package's
        raise NotPossible(str(error)) from error
    return build_engine(Path(wanted.model), Path(wanted.engine), options)[1]


def deferred(wanted: BuildWanted, options: BuildOptions) -> EngineManifest:
    """As on a target machine that got the ONNX file and a deferred manifest: run the line that it names.

    The manifest is written here, since capsedge defers only where it cannot build.
    """
    model, engine = Path(wanted.model), Path(wanted.engine)
    contract = contract_of(read_onnx_file(model), source=wanted.model)
    if contract is None:
        raise ModelError(f"'{model}' carries no contract")
    manifest = manifest_of(contract, trtexec_line(model, engine, contract.input, options), options)
    save_manifest(engine, manifest)
    words = [wanted.trtexec, *shlex.split(manifest.deferred)[1:]]
    done = subprocess.run(words, cwd=model.parent, capture_output=True, text=True, check=False)
    if done.returncode or not engine.is_file():
        said = [line for line in (done.stdout + done.stderr).splitlines() if "[E]" in line] or ["it wrote no engine"]
        raise ModelError(f"'{manifest.deferred}' ended with {done.returncode}: {said[0]}")
    return manifest


def manifest_of(contract: Contract, line: str, options: BuildOptions) -> EngineManifest:
    """What capsedge knows of an engine that another machine builds."""
    return EngineManifest(
        engine_sha256="",
        package="tensorrt",
        package_version="",
        targets=(),
        batch=options.batch,
        deferred=line,
        build_seconds=0.0,
        size_bytes=0,
        precision={},
        contract=msgspec.structs.replace(contract, verdict=Verdict(status="not executed here")),
    )
