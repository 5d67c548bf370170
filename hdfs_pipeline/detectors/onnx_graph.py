"""Graph: builds an ONNX graph operator by operator."""

from typing import Any

import numpy as np

from hdfs_pipeline.detectors.onnx_session import IR_VERSION, OPSETS


class Graph:
    """Collects operators of the domain "" and makes a model of them."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """Add an operator on results (by name) and constants, and return the name of its first result."""
        from onnx import helper

        names = [given if isinstance(given, str) else self._constant(given) for given in inputs]
        result = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, names, [result], **attributes))
        return result

    def _constant(self, value: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def model(self, name: str, width: int | None, outputs: dict[str, tuple[str, int]]) -> Any:
        """An onnx.ModelProto from `values` (n, width) float32 to float32 outputs: by name the result and its rank."""
        from onnx import TensorProto, helper

        for output, (result, _) in outputs.items():
            self._nodes.append(helper.make_node("Cast", [result], [output], to=TensorProto.FLOAT))
        described = [
            helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * rank)
            for output, (_, rank) in outputs.items()
        ]
        values = helper.make_tensor_value_info("values", TensorProto.FLOAT, [None, width])
        graph = helper.make_graph(self._nodes, name, [values], described, self._constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSETS[""])], ir_version=IR_VERSION)
