"""Models on ONNX Runtime: its sessions, where their nodes run, and what of it can be set."""
