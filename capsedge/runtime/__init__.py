"""Running exported models at the edge; this package needs neither torch nor onnx."""
