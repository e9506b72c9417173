"""Algorithm 1: training, evaluation, checkpoints and metrics."""
