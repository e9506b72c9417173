"""The road from a trained run to a file that can be trusted: collapse, ONNX, gate, TensorRT."""
