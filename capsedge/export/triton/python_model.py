"""The model in Triton's Python backend: ONNX Runtime on the CPU, where the server has no backend for ONNX Runtime.

capsedge copies this file beside model.onnx as model.py. It needs numpy and onnxruntime in the Python of the backend,
not capsedge. Triton's documentation of the interface: github.com/triton-inference-server/python_backend.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance of the model; Triton calls its methods by these names."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the file of this version.

        Args:
            args: Triton's: `model_config` (JSON), `model_repository` (the model's folder) and `model_version`.
        """
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["intra_op_thread_count"]["string_value"])
        file = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.input = config["input"][0]["name"]
        self.outputs = [output["name"] for output in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run the requests that Triton has collected as one batch.

        Args:
            requests: Each has images [batch, height, width, channels], uint8.

        Returns:
            A response for each request, with the outputs that it asks for.
        """
        images = [triton.get_input_tensor_by_name(request, self.input).as_numpy() for request in requests]
        whole = self.session.run(self.outputs, {self.input: np.concatenate(images)})
        ends = np.cumsum([len(each) for each in images])[:-1]
        parts = zip(*(np.split(output, ends) for output in whole), strict=True)
        return [
            triton.InferenceResponse(
                [
                    triton.Tensor(name, part)
                    for name, part in zip(self.outputs, own, strict=True)
                    if name in request.requested_output_names()
                ]
            )
            for request, own in zip(requests, parts, strict=True)
        ]
