"""Running exported models at the edge; neither torch nor onnx is needed here."""
