"""The trtexec command that builds an engine with classic TensorRT on its target machine."""

import shlex
from pathlib import Path

from capsedge.contract import Input
from capsedge.export.tensorrt.options import BuildOptions


def trtexec_line(model: Path, engine: Path, entry: Input, options: BuildOptions) -> str:
    """The trtexec command line, to be run in the ONNX file's folder.

    `--stronglyTyped` makes TensorRT 10 use the types of the graph, as 11 always does; 10.3 to 11 have the option
    (NVIDIA's migration guide; memory pools are in MiB according to its trtexec). `--noTF32` keeps fp32 from being
    rounded to eleven bits. Not run by capsedge yet.

    Args:
        model: The ONNX file; only its name is used.
        engine: The engine; only its name is used.
        entry: The model's input.
        options: The build options.
    """
    image = "x".join(map(str, entry.shape))
    shapes = zip(("min", "opt", "max"), options.batch, strict=True)
    words = ["trtexec", f"--onnx={model.name}", f"--saveEngine={engine.name}", "--stronglyTyped"]
    words += ["--noTF32", "--skipInference"]
    words += [f"--{name}Shapes={entry.name}:{size}x{image}" for name, size in shapes]
    if options.workspace_mb is not None:
        words.append(f"--memPoolSize=workspace:{options.workspace_mb}")
    if options.hardware_compatible:
        words.append("--hardwareCompatibilityLevel=ampere+")
    return shlex.join(words)
