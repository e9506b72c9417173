"""Models on ONNX Runtime: sessions, placement of nodes, and options."""
