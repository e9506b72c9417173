#!/usr/bin/env bash
# Installs capsedge's wheel with each set of extras in a clean virtual environment, and runs the commands of that set.
# A set is installed on top of the last earlier set that it contains, since unpacking torch takes half a minute. The
# sets with torch and those without run in two parallel lanes.
#
#   scripts/check_extras.sh                every set
#   scripts/check_extras.sh cpu train,cpu  these sets
#   CONSTRAINTS=lower-bounds.txt scripts/...  with the lowest releases that pyproject.toml admits
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
sets=("${@:-}")
[[ -n ${sets[0]} ]] || sets=(cpu cpu,openvino cpu,trt gpu train,cpu train,tensorboard,cpu train,export,cpu train,export,cpu,trt paper,cpu)

export PIP_DISABLE_PIP_VERSION_CHECK=1
export OMP_NUM_THREADS=1      # the lanes share the cores
unset PYTHONDONTWRITEBYTECODE # or every command would compile torch anew
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

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

build_wheel() { # from a copy: setuptools would leave a build/ in the tree, which gets into the next wheel
    mkdir "$work/source"
    cp -r "$root"/{capsedge,pyproject.toml,README.md,LICENSE} "$work/source/"
    run "$python" -m pip wheel --quiet --no-deps --wheel-dir "$work" "$work/source"
    wheel=$(echo "$work"/capsedge-*.whl)
}

install() { # --no-compile: the few commands compile what they import
    local each base=
    for each in ${kept[@]+"${kept[@]}"}; do # this form also of an empty array, for bash 3.2 (macOS)
        if holds "$(brings "$1")" "$each"; then base=$each; fi
    done
    if [[ -n $base ]]; then
        cp -al "kept/$base" venv # hard links: pip replaces files and never changes them in place
    else
        "$python" -m venv venv
    fi
    run pip install --quiet --no-compile -c "$root/${CONSTRAINTS:-constraints.txt}" "$wheel[$1]"
    run pip check
}

brings() { # the extras of a set, including those that they require in pyproject.toml
    case $1 in
        *export* | *paper*) echo "$1,train" ;;
        *) echo "$1" ;;
    esac
}

holds() { # whether a set has all extras of another
    local extra
    for extra in ${2//,/ }; do
        [[ ,$1, == *,$extra,* ]] || return 1
    done
}

runs_at_the_edge() { # cpu, gpu: no training, no export
    without torch onnx
    run capsedge --version
    run capsedge doctor
    run capsedge infer "$root/samples"
    run capsedge verify
    run capsedge bench --iterations 20 --quick
    run capsedge profile --iterations 50 --no-roofline
}

trains() { # one epoch of a narrow network on the subset in the wheel
    run capsedge train fashion-mnist-l2-small --data fashion-mnist-subset --set train.epochs=1 --set network.filters=16 "$@"
}

has_run() {
    if [[ ! -d runs ]]; then trains; fi
}

lane() { # sets one after the other, in one folder: export uses the run of train
    local extras
    mkdir -p "$work/$1/kept"
    cd "$work/$1" # outside the source tree, so that only the wheel's content is found
    PATH="$work/$1/venv/bin:$PATH"
    kept=()
    for extras in "${@:2}"; do
        printf '\n===== capsedge[%s] =====\n' "$extras"
        install "$extras"
        prove "$extras"
        mv venv "kept/$extras"
        kept+=("$extras")
    done
}

prove() { # runs the commands of a set of extras
    case $1 in
        cpu | gpu)
            runs_at_the_edge
            ;;
        cpu,openvino)
            without torch onnx
            run capsedge verify --provider openvino
            run capsedge infer "$root"/samples/*.png --provider openvino
            run capsedge bench --iterations 20 --quick --sweep provider=cpu,openvino
            ;;
        cpu,trt)
            without torch onnxscript
            run capsedge lint "$root/capsedge/builtin/fashion-mnist.onnx"
            ;;
        train,cpu)
            without onnx tensorrt_rtx matplotlib tensorboard
            trains
            ;;
        train,tensorboard,cpu)
            trains --log tensorboard
            run tensorboard --version
            ;;
        paper,cpu)
            without onnx tensorrt_rtx
            run capsedge reproduce fig1 "$root/samples"
            run capsedge bench --iterations 20 --quick --output report.html
            run capsedge profile --iterations 50 --plot profile.svg
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
            echo "$0 has no command for '$1': write one" >&2
            exit 2
            ;;
    esac
}

build_wheel
with_torch=() without_torch=()
for extras in "${sets[@]}"; do
    case $extras in
        *train* | *paper* | *export*) with_torch+=("$extras") ;;
        *) without_torch+=("$extras") ;;
    esac
done
(lane without-torch ${without_torch[@]+"${without_torch[@]}"}) >"$work/log" 2>&1 &
(lane with-torch ${with_torch[@]+"${with_torch[@]}"})
wait $! || { cat "$work/log"; exit 1; }
cat "$work/log"
printf '\nevery set of extras installs and works: %s\n' "${sets[*]}"
