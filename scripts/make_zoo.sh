#!/usr/bin/env bash
# Trains a model of the zoo, exports it in fp32 and int8, and fills zoo/NAME; goes on where it was stopped.
#
#   scripts/make_zoo.sh NAME
#
# Where zoo/NAME/recipe.toml is there, it is trained from this, after the teachers in zoo/NAME/teachers; else from the
# shipped recipe. Finished runs of the same recipe with other seeds, runs/NAME-seed-*, are told in the card.
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:-}
files=fp32,int8,weights
case $name in
    edge-nano | edge-small | edge-base) recipe=$name ;;
    table1-l2) recipe=fashion-mnist-l2 files=int8,weights ;; # its file in fp32 is as large as the whole zoo may be
    *) recipe= ;;
esac
if [[ $name == [a-z0-9]* && $name != */* && -e zoo/$name/recipe.toml ]]; then
    recipe=zoo/$name/recipe.toml
elif [[ -z $recipe ]]; then
    echo "make zoo NAME=edge-nano, edge-small, edge-base, table1-l2 or a folder of zoo/ with a recipe.toml" >&2
    exit 2
elif ! python -c 'import sys; from capsedge.data.known import find; sys.exit(find("fashion-mnist") is None)'; then
    echo "the zoo is trained on the full Fashion-MNIST, which is not here: apt install dataset-fashion-mnist" >&2
    exit 1
fi

finished() { grep -qs '"status": "finished"' "$1/run.json"; }

train() { # RECIPE RUN
    if finished "$2"; then
        return
    elif [[ -e $2/run.json ]]; then
        capsedge train --resume --run "$2"
    else
        capsedge train "$1" --run "$2"
    fi
}

run=runs/$name
for teacher in zoo/"$name"/teachers/*.toml; do
    if [[ -e $teacher ]]; then train "$teacher" "runs/$(basename "$teacher" .toml)"; fi
done
train "$recipe" "$run"
if [[ ! $run/model.onnx -nt $run/run.json || ! $run/model.int8.onnx -nt $run/run.json ]]; then
    capsedge export "$run" --precision fp32,int8
fi
seeds=()
for other in "$run"-seed-*; do
    if finished "$other"; then seeds+=(--seed-run "$other"); fi
done
# The longer form of an empty array is for bash 3.2 (macOS), to which the short one is an unset variable.
python -m benchmarks.card "$run" --output "zoo/$name" --files "$files" ${seeds[@]+"${seeds[@]}"}
