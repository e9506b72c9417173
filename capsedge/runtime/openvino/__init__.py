"""Running ONNX files by OpenVINO."""
