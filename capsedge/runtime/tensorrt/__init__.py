"""Models as TensorRT engines, of TensorRT-RTX or classic TensorRT: loading, checking and running them."""
