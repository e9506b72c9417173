#!/usr/bin/env bash
# Copies the built-in model from the zoo: edge-small in int8, which is trained first if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ -e zoo/edge-small/model.int8.onnx ]] || bash scripts/make_zoo.sh edge-small
cp zoo/edge-small/model.int8.onnx capsedge/builtin/fashion-mnist.onnx
