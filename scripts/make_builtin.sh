#!/usr/bin/env bash
# Exports the model that ships with capsedge into the package: edge-small of the zoo in int8, trained where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/make_zoo.sh edge-small
capsedge export runs/edge-small --precision int8 --output capsedge/builtin/fashion-mnist.onnx
