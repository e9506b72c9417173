#!/usr/bin/env bash
# Proves on this machine everything that only a GPU can run (docs/prove-on-gpu.md); one command, for the day:
#
#   scripts/prove_on_gpu.sh [OUT] [--run RUN] [--quick]
#
# It makes a virtual environment of its own, .venv-gpu, with these extras:
#   train,export  the networks, and their files in every precision
#   gpu           onnxruntime-gpu, which must not lie beside onnxruntime
#   trt           TensorRT-RTX and cuda-python, by which engines of classic TensorRT run too
#   dev           the tests that are skipped without a GPU
# Classic TensorRT comes from NVIDIA, with JetPack or from its package index: what needs it is left out without it.
# Where there is no NVIDIA driver, .venv with onnxruntime does: what can be proved there is, and the rest is listed.
#
#   PROVE_PYTHON=/path/to/python scripts/prove_on_gpu.sh   takes that environment as it is, and installs nothing
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PROVE_PYTHON:-}
if [[ -n $python ]]; then
    :
elif [[ -e /etc/nv_tegra_release ]]; then
    echo "on a Jetson, CUDA, torch and TensorRT are NVIDIA's own: make an environment as docs/prove-on-gpu.md says," \
        "and give it by PROVE_PYTHON=/path/to/python $0" >&2
    exit 2
elif [[ -e /proc/driver/nvidia/version || -e /dev/dxg ]]; then # /dev/dxg: Windows' driver, in WSL
    make --no-print-directory -C "$root" setup VENV=.venv-gpu EXTRAS=train,export,gpu,trt,dev
    python=$root/.venv-gpu/bin/python
else
    echo "there is no NVIDIA driver here: what can run without one is proved, and the rest is listed" >&2
    make --no-print-directory -C "$root" setup
    python=$root/.venv/bin/python
fi
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m benchmarks.prove "$@"
