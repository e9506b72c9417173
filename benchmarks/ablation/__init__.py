"""Ablations of the edge family: parts of its training, and its capsule head compared with plain heads.

    python -m benchmarks.ablation parts --epochs 12 --output runs/ablation
    python -m benchmarks.ablation heads --network edge-nano --epochs 30 --seeds 0,1,2 --output runs/heads

`parts` trains variants of a recipe that differ from it in one setting. `heads` trains the same stem with the capsule
head, with linear heads and with dynamic routing. Each training is a run in the output folder; finished runs are
reused and interrupted ones resumed. The results are written as JSON after every run, and printed as Markdown;
`--redraw` prints the tables of the JSON without training.
"""
