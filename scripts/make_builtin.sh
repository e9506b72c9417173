#!/usr/bin/env bash
# Takes the model that ships with capsedge from the zoo: edge-small in int8, trained anew where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ -e zoo/edge-small/model.int8.onnx ]] || bash scripts/make_zoo.sh edge-small
cp zoo/edge-small/model.int8.onnx capsedge/builtin/fashion-mnist.onnx
