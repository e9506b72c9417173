"""From image files to predictions: image sources, classification, and pictures of the results."""
