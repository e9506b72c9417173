#!/usr/bin/env bash
# Runs every step in a few minutes, on images that ship with the project, and prints each command.
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

step "Classify a photographed garment with the built-in model" \
    infer samples/ankle-boot-1045.png
step "Train a network with learned routing (L2) on 1,600 images" \
    train fashion-mnist-l2-small --data fashion-mnist-subset --set train.epochs=15 --run runs/demo-l2
step "Collapse the routing, export in fp32 and int8, check each file with the gate; build engines without a GPU" \
    export runs/demo-l2 --precision fp32,int8 --trt
step "Show the contract of a file" \
    inspect runs/demo-l2/model.int8.onnx
step "Classify images with the new model" \
    infer --model runs/demo-l2 samples/
step "Train the baseline: dynamic routing, which computes its coefficients for each image" \
    train fashion-mnist-dynamic-small --data fashion-mnist-subset --set train.epochs=1 --run runs/demo-dr
step "Export it with unrolled iterations, since it cannot be collapsed" \
    export runs/demo-dr
step "Compare dynamic routing with the collapsed network in fp32 and int8, in one interleaved measurement" \
    bench runs/demo-dr runs/demo-l2 runs/demo-l2/model.int8.onnx --duration 3 --output runs/demo.html
step "Profile the collapsed network beside the roofline of this machine" \
    profile runs/demo-l2
