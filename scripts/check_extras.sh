#!/usr/bin/env bash
# Installs capsedge's wheel with each set of extras in a clean virtual environment and runs there what that set is for.
# A set that holds all of the one before it is installed on top of that: torch takes half a minute each time.
#
#   scripts/check_extras.sh                every set
#   scripts/check_extras.sh cpu train,cpu  these sets
#   CONSTRAINTS=lower-bounds.txt scripts/...  with the lowest releases that pyproject.toml admits
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
sets=("${@:-}")
[[ -n ${sets[0]} ]] || sets=(cpu cpu,trt gpu paper,cpu train,cpu train,export,cpu train,export,cpu,trt)

export PIP_DISABLE_PIP_VERSION_CHECK=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# All commands run in one folder, so that export finds what train left there; it is outside the source tree, so
# that nothing is found but what the wheel holds.
mkdir "$work/here"
cd "$work/here"

run() {
    printf '\n+ %s\n' "${*//"$work"/\$WORK}"
    "$@"
}

without() { # modules that this environment must not hold
    printf '\n+ no %s here\n' "$*"
    python -c 'import sys; from importlib.util import find_spec
found = [name for name in sys.argv[1:] if find_spec(name)]
sys.exit(f"installed, and should not be: {found}" if found else 0)' "$@"
}

build_wheel() { # from a copy: setuptools leaves its build/ in the tree, and a stale one gets into the next wheel
    mkdir "$work/source"
    cp -r "$root"/{capsedge,pyproject.toml,README.md,LICENSE} "$work/source/"
    run "$python" -m pip wheel --quiet --no-deps --wheel-dir "$work" "$work/source"
    wheel=$(echo "$work"/capsedge-*.whl)
}

install() { # --no-compile: each environment runs a few commands only
    if ! grows "$1"; then
        rm -rf "$work/venv"
        "$python" -m venv "$work/venv"
        PATH="$work/venv/bin:$clean_path"
    fi
    installed=$1
    run pip install --quiet --no-compile -c "$root/${CONSTRAINTS:-constraints.txt}" "$wheel[$1]"
    run pip check
}

grows() { # whether every extra that is installed is in this set too
    [[ -n ${installed:-} ]] || return 1
    local extra
    for extra in ${installed//,/ }; do
        [[ ,$1, == *,$extra,* ]] || return 1
    done
}

runs_at_the_edge() { # cpu, gpu: no training, no export
    without torch onnx
    run capsedge --version
    run capsedge doctor
    run capsedge infer "$root/samples"
    run capsedge verify
    run capsedge bench --runs 20 --quick
    run capsedge profile --runs 20 --no-roofline
}

trains() { # one epoch of a narrow network on the subset in the wheel
    run capsedge train --set data.source=fashion-mnist-subset --set train.epochs=1 --set network.filters=16
}

has_run() {
    if [[ ! -d runs ]]; then trains; fi
}

clean_path=$PATH
build_wheel
for extras in "${sets[@]}"; do
    printf '\n===== capsedge[%s] =====\n' "$extras"
    install "$extras"
    case $extras in
        cpu | gpu)
            runs_at_the_edge
            ;;
        cpu,trt)
            without torch onnxscript
            run capsedge lint "$root/capsedge/builtin/fashion-mnist.onnx"
            ;;
        train,cpu)
            without onnx tensorrt_rtx matplotlib
            trains
            ;;
        paper,cpu)
            without onnx tensorrt_rtx
            run capsedge reproduce fig1 "$root/samples"
            run capsedge bench --runs 20 --quick --output report.html
            run capsedge profile --runs 20 --plot profile.svg
            run capsedge reproduce fig3 --data fashion-mnist-subset --width small --epochs 1 --kind l2
            ;;
        train,export,cpu)
            without tensorrt_rtx
            has_run
            run capsedge export --precision fp32,int8
            ;;
        train,export,cpu,trt)
            has_run
            run capsedge export --precision int8+fp16 --trt --triton repository
            ;;
        *)
            echo "$0 has no command for '$extras': write one" >&2
            exit 2
            ;;
    esac
done
printf '\nevery set of extras installs and works: %s\n' "${sets[*]}"
