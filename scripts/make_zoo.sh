#!/usr/bin/env bash
# Trains a model of the zoo, exports it in fp32 and int8, and fills zoo/NAME; continues after an interruption.
#
#   scripts/make_zoo.sh NAME
#
# The recipe is zoo/NAME/recipe.toml, trained after the teachers in zoo/NAME/teachers, or else the shipped recipe.
# Finished runs of the same recipe with other seeds, runs/NAME-seed-*, are included in the card.
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:-}
files=fp32,int8,weights
case $name in
    edge-nano | edge-small | edge-base) recipe=$name ;;
    table1-l2) recipe=fashion-mnist-l2 files=int8,weights ;; # its fp32 file would fill the whole size limit of the zoo
    *) recipe= ;;
esac
if [[ $name == [a-z0-9]* && $name != */* && -e zoo/$name/recipe.toml ]]; then
    recipe=zoo/$name/recipe.toml
elif [[ -z $recipe ]]; then
    echo "make zoo NAME=edge-nano, edge-small, edge-base, table1-l2 or a folder of zoo/ with a recipe.toml" >&2
    exit 2
elif ! python -c 'import sys; from capsedge.data.known import find; sys.exit(find("fashion-mnist") is None)'; then
    echo "the zoo needs the full Fashion-MNIST, which is missing: apt install dataset-fashion-mnist" >&2
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
# The long form of an empty array is for bash 3.2 (macOS), where the short form is an unset variable.
python -m benchmarks.card "$run" --output "zoo/$name" --files "$files" ${seeds[@]+"${seeds[@]}"}
