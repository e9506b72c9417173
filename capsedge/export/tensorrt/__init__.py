"""TensorRT: lint rules, engine builds, and the trtexec command for a target machine that builds its own engine."""

from capsedge.export.tensorrt.build import build_engine, save_manifest
from capsedge.export.tensorrt.lint import Lint, lint
from capsedge.export.tensorrt.options import DEFAULT_BATCH, BuildOptions, check_options, choose_package
from capsedge.export.tensorrt.process import OnProgress
from capsedge.export.tensorrt.rules import LintFinding
from capsedge.export.tensorrt.trtexec import trtexec_line

__all__ = [
    "DEFAULT_BATCH",
    "BuildOptions",
    "Lint",
    "LintFinding",
    "OnProgress",
    "build_engine",
    "check_options",
    "choose_package",
    "lint",
    "save_manifest",
    "trtexec_line",
]
