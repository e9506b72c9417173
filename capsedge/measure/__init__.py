"""Measuring models: latency, layers, errors, and the machine that it is done on; needs neither torch nor onnx."""
