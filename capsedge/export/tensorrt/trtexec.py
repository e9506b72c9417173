"""The command that builds an engine with classic TensorRT on the machine that it is for."""

import shlex
from pathlib import Path

from capsedge.contract import Input
from capsedge.export.tensorrt.options import BuildOptions


def trtexec_line(model: Path, engine: Path, entry: Input, options: BuildOptions) -> str:
    """The line for trtexec, to be run in the folder that holds the ONNX file.

    `--stronglyTyped` makes TensorRT 10 read the types of the graph, as 11 always does: 10.3 to 11 know the option
    (NVIDIA's migration guide; its trtexec says that sizes of memory pools are in MiB). `--noTF32` keeps fp32 from
    being rounded to eleven bits. Not run by capsedge yet.

    Args:
        model: The ONNX file.
        engine: The engine; of both only the names are used.
        entry: The input, of whose images the batches are.
        options: What the engine shall be like.
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
