#!/usr/bin/env bash
# Runs the tests that need a GPU on this machine, and writes their report (docs/prove-on-gpu.md):
#
#   scripts/prove_on_gpu.sh [--out DIR] [--run RUN] [--quick] [pytest's options]
#
# It makes a virtual environment of its own, .venv-gpu, with these extras:
#   train,export  the networks, and their files in every precision
#   gpu           onnxruntime-gpu, which excludes onnxruntime
#   trt           TensorRT-RTX and cuda-python, which engines of classic TensorRT need, too
#   dev           pytest
# Classic TensorRT comes from NVIDIA, with JetPack or from its package index; tests that need it are skipped without it.
# Without an NVIDIA driver, the script uses .venv with onnxruntime, runs the tests that need no GPU, and lists the rest.
#
#   PROVE_PYTHON=/path/to/python scripts/prove_on_gpu.sh   uses that environment, and installs nothing
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PROVE_PYTHON:-}
if [[ -n $python ]]; then
    :
elif [[ -e /etc/nv_tegra_release ]]; then
    echo "on a Jetson, CUDA, torch and TensorRT come from NVIDIA: make an environment as docs/prove-on-gpu.md says," \
        "and give it by PROVE_PYTHON=/path/to/python $0" >&2
    exit 2
elif [[ -e /proc/driver/nvidia/version || -e /dev/dxg ]]; then # /dev/dxg: Windows' driver, in WSL
    make --no-print-directory -C "$root" setup VENV=.venv-gpu EXTRAS=train,export,gpu,trt,dev
    python=$root/.venv-gpu/bin/python
else
    echo "there is no NVIDIA driver here: only the tests that need no GPU are run, and the rest is listed" >&2
    make --no-print-directory -C "$root" setup
    python=$root/.venv/bin/python
fi

if [[ " $* " != *" --out"[=\ ]* ]]; then
    out=runs/proof
    for ((number = 2; ; number++)); do
        [[ -e $out ]] || break
        out=runs/proof-$number
    done
    set -- --out "$out" "$@"
fi
# One process, since tests use each other's files; a timeout of half an hour, for a training on a slow CPU.
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m pytest "$root/tests/gpu" -m gpu -vv -p no:cacheprovider \
    -p no:xdist --timeout=1800 "$@"
