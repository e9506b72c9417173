"""Model cards: the data, training, errors and files of a finished, exported run.

    python -m benchmarks.card RUN --output zoo/NAME

docs/zoo.md describes the model's folder.
"""
