"""The emulated processors, and for each a Python with capsedge and its requirements at the edge.

QEMU's user mode runs one program for another processor on this kernel. For x86 that is this environment's own Python.
For Arm it is Debian's Python with wheels for Arm; both are fetched once, into `.emulated/` of the checkout.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".emulated"

# The Debian release whose Python matches constraints.txt.
_SUITE, _PYTHON = "bookworm", "3.11"
_LIBRARIES = "python3,libgomp1,libstdc++6"  # the wheels contain the rest
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")

LIMIT_S = 900.0  # timeout of a download or installation

# Kept environment variables; others, such as OPENBLAS_CORETYPE, choose kernels for this machine's own processor.
_PASSED_ON = ("HOME", "LANG", "PATH", "TMPDIR")


class NotPossible(Exception):
    """A processor cannot be emulated on this machine; the text says what is missing."""


@dataclass(frozen=True)
class EmulatedProcessor:
    """A processor to emulate.

    Attributes:
        name: Its name on the command line.
        title: Its name in the table.
        machine: Its architecture, as in `platform.machine()`.
        model: QEMU's name for it.
        implementer: "CPU implementer" of an Arm processor in /proc/cpuinfo.
        part: "CPU part" of an Arm processor in /proc/cpuinfo.
    """

    name: str
    title: str
    machine: str
    model: str
    implementer: str = ""
    part: str = ""


PROCESSORS = (
    EmulatedProcessor("nehalem", "Intel Nehalem", "x86_64", "Nehalem"),
    EmulatedProcessor("haswell", "Intel Haswell", "x86_64", "Haswell"),
    EmulatedProcessor("cortex-a72", "Arm Cortex-A72", "aarch64", "cortex-a72", "0x41", "0xd08"),
    EmulatedProcessor("arm-max", "Arm, all that QEMU has", "aarch64", "max", "0x00", "0x051"),
)


@dataclass(frozen=True)
class Python:
    """A Python with capsedge, started directly or through an emulator.

    Attributes:
        words: The command that starts it.
        emulator: The emulator and its version; "" without one.
        variables: Environment variables in addition to `_PASSED_ON`.
    """

    words: tuple[str, ...]
    emulator: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        """The command that runs Python with these arguments."""
        return [*self.words, *words]

    @property
    def environment(self) -> dict[str, str]:
        """All its environment variables."""
        kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return kept | {"PYTHONNOUSERSITE": "1", "PYTHONPATH": str(ROOT), **self.variables}


HOST = Python((sys.executable,))
"""The running Python, on the real processor."""


def python_on(processor: EmulatedProcessor) -> Python:
    """A Python on an emulated processor; missing packages are installed if possible.

    Raises:
        NotPossible: This machine cannot emulate it.
    """
    return _on_x86(processor) if processor.machine == "x86_64" else _on_arm(processor)


def _on_x86(processor: EmulatedProcessor) -> Python:
    if sys.platform != "linux" or platform.machine() != processor.machine:
        here = f"{sys.platform} on {platform.machine()}"
        raise NotPossible(f"this machine's own Python is emulated, which needs Linux on x86-64; this is {here}")
    qemu = _qemu(processor)
    folders = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    path = os.pathsep.join((*folders, str(ROOT)))
    # The Python of a virtual environment is a link; its target does not use the environment.
    words = (qemu, "-cpu", processor.model, str(Path(sys.executable).resolve()))
    return Python(words, _version(qemu), {"PYTHONPATH": path})


def _on_arm(processor: EmulatedProcessor) -> Python:
    if sys.platform != "linux":
        raise NotPossible(f"QEMU's user mode needs Linux; this is {sys.platform}")
    qemu = _qemu(processor)
    wheels, root = _wheels(), _view(processor, _debian())
    words = (qemu, "-cpu", processor.model, "-L", str(root), str(root / f"usr/bin/python{_PYTHON}"))
    path = os.pathsep.join((str(wheels), str(ROOT)))
    return Python(words, _version(qemu), {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": path})


def _qemu(processor: EmulatedProcessor) -> str:
    names = [f"qemu-{processor.machine}{ending}" for ending in ("-static", "")]
    return _program(*names, package="qemu-user-static")


def _program(*names: str, package: str) -> str:
    """The path of a program with one of these names; if it is missing, its Debian package is installed."""
    for once_more in (False, True):
        found = next(filter(None, map(shutil.which, names)), None)
        if found is not None:
            return found
        if not once_more:
            _install(package)
    raise NotPossible(f"Debian's package {package} is installed, but contains no program {' or '.join(names)}")


def _install(package: str) -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        who = "apt-get is not here" if apt is None else "only root can install it"
        raise NotPossible(f"the package {package} is missing and {who}: apt-get install {package}")
    install = [apt, "install", "--yes", "--no-install-recommends", package]
    try:
        run_quietly(install)
    except NotPossible:  # the package list may be missing or outdated
        run_quietly([apt, "update"])
        run_quietly(install)


def _debian() -> Path:
    """Debian's files for Arm, with its Python and the libraries that the wheels need."""
    root = KEPT / f"debian-{_SUITE}-arm64"
    if not root.is_dir():
        debootstrap = _program("debootstrap", package="debootstrap")
        if os.geteuid() != 0:
            raise NotPossible("Debian's files for Arm are fetched by debootstrap, which only root can run")
        with _filled(root) as new, tempfile.TemporaryDirectory(dir=KEPT) as fetched:
            kind = ("--arch=arm64", "--variant=minbase", "--foreign", f"--include={_LIBRARIES}")
            run_quietly([debootstrap, *kind, _SUITE, fetched, _mirror()])
            for package in sorted(Path(fetched, "var/cache/apt/archives").glob("*.deb")):
                run_quietly(["dpkg", "-x", str(package), str(new)])
    return root


def _mirror() -> str:
    """The mirror from which this machine's apt takes Debian's packages of that release."""
    apt = shutil.which("apt-get")
    if apt is None:
        raise NotPossible("Debian's files for Arm come from the mirror that apt uses, and apt-get is not here")
    said = run_quietly([apt, "indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages"])
    sites = [site for release, _, site in (line.partition(" ") for line in said.splitlines()) if release == _SUITE]
    if not sites:
        raise NotPossible(
            f"Python for Arm is that of Debian {_SUITE}, of which this machine's apt knows no mirror: add one to its "
            "sources"
        )
    return sites[0]


def _wheels() -> Path:
    """The requirements of capsedge[cpu] as wheels for Arm, in the releases of constraints.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    pins = ROOT / "constraints.txt"
    digest = hashlib.sha256("\n".join((*wanted, pins.read_text(encoding="utf-8"))).encode()).hexdigest()
    folder = KEPT / f"wheels-arm64-{digest[:12]}"
    if not folder.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:"]
        python = ["--python-version", _PYTHON, "--implementation", "cp"]
        kinds = [word for name in _PLATFORMS for word in ("--platform", f"{name}_aarch64")]
        with _filled(folder) as new:
            run_quietly([*pip, *python, *kinds, "--target", str(new), "-c", str(pins), *wanted])
    return folder


def _view(processor: EmulatedProcessor, debian: Path) -> Path:
    """Debian's files as a root of the processor, with its own /proc/cpuinfo.

    QEMU 7.2 shows the real machine's /proc/cpuinfo. ONNX Runtime from 1.28 on finds no Arm processor in it, and ends
    with a segmentation fault at import. It reads the processor's features from the auxiliary vector, which QEMU
    emulates, so the file lists only the features of every 64-bit Arm processor.
    """
    root = KEPT / processor.name
    lines = {
        "Features": "fp asimd",
        "CPU implementer": processor.implementer,
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": processor.part,
        "CPU revision": "0",
    }
    listed = "".join(f"{name}\t: {value}\n" for name, value in lines.items())
    (root / "proc").mkdir(parents=True, exist_ok=True)
    cores = range(os.cpu_count() or 1)
    (root / "proc/cpuinfo").write_text("".join(f"processor\t: {core}\n{listed}\n" for core in cores), "utf-8")
    for name in ("lib", "usr"):
        if not (root / name).is_symlink():
            (root / name).symlink_to(Path("..", debian.name, name))
    return root


@contextmanager
def _filled(folder: Path) -> Iterator[Path]:
    """A new folder that gets its name only when it is complete, so that an interruption leaves no partial one."""
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KEPT) as place:
        new = Path(place, "new")
        new.mkdir()
        yield new
        new.rename(folder)


def run_quietly(command: Sequence[str]) -> str:
    """Run a download or an installation, and return its stdout.

    Raises:
        NotPossible: It failed; the text has its last line.
    """
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    start = partial(subprocess.run, stdin=subprocess.DEVNULL, env=quiet, timeout=LIMIT_S)
    try:
        done: subprocess.CompletedProcess[str] = start(command, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotPossible(f"'{Path(command[0]).name}' did not finish within {LIMIT_S:.0f} s") from error
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "it printed nothing").splitlines()
        raise NotPossible(f"'{Path(command[0]).name}' failed with exit code {done.returncode}: {lines[-1]}")
    return done.stdout


def _version(qemu: str) -> str:
    found = re.search(r"version (\S+)", run_quietly([qemu, "--version"]))
    return f"QEMU {found[1]}" if found else "QEMU of an unknown version"
