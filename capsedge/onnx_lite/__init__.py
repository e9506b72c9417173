"""ONNX files at the edge, read and written without the onnx package (docs/decisions/0006).

`file` reads metadata and hashes, `graph` nodes and weights, `write` makes files of one node. All of them stand on
`wire`, protobuf's encoding, and on `schema`, the field numbers and element types of onnx.proto.
"""
