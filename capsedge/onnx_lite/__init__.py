"""Reading and writing ONNX files on edge devices without the onnx package (docs/decisions/0006).

`file` reads metadata and hashes, `graph` reads nodes and weights, and `write` makes files of one node. All use
`wire`, protobuf's encoding, and `schema`, the field numbers and element types of onnx.proto.
"""
