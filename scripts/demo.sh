#!/usr/bin/env bash
# The whole road in a few minutes, on real images that ship with the project; every command is shown, ready to copy.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    printf '\n\033[1;34m# %s\033[0m\n\033[1m$ capsedge' "$1"
    shift
    printf ' %q' "$@"
    printf '\033[0m\n'
    capsedge "$@"
}

rm -rf runs/demo-l2 runs/demo-dr

step "A real garment, by the model that comes with capsedge" \
    infer samples/ankle-boot-1045.png
step "Train: routing learned by its own objective (L2), on 1,600 images" \
    train fashion-mnist-l2-small --data fashion-mnist-subset --set train.epochs=15 --run runs/demo-l2
step "Collapse the routing, export in fp32 and int8, let the gate judge each file; build engines without a GPU" \
    export runs/demo-l2 --precision fp32,int8 --trt
step "What a file promises" \
    inspect runs/demo-l2/model.int8.onnx
step "Infer with the fresh model" \
    infer --model runs/demo-l2 samples/
step "The baseline: dynamic routing, whose coefficients are found anew for each image" \
    train fashion-mnist-dynamic-small --data fashion-mnist-subset --set train.epochs=1 --run runs/demo-dr
step "It cannot be collapsed, so it is exported with its iterations unrolled" \
    export runs/demo-dr
step "Dynamic routing against the collapsed network in fp32 and int8, interleaved in one run" \
    bench runs/demo-dr runs/demo-l2 runs/demo-l2/model.int8.onnx --duration 3 --output runs/demo.html
step "Where the time of the collapsed network goes, and how far each part is from what this machine can do" \
    profile runs/demo-l2
