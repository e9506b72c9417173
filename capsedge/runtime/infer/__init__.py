"""From image files to predictions: where images come from, what a model sees in them, and pictures of that."""
