"""A trained model as an ONNX file: for other programs, which need nothing else to say what the instrument says.

The standardisation is in it, and the weights are those that are played, dequantised to float32. Only operations
of opset 13 are used, which runtimes for browsers, game engines and microcontrollers know.
"""

import json
from dataclasses import replace

import numpy as np

from instrument.kernels.onnx_cpu import float_graph
from instrument.kernels.onnx_graph import Node
from instrument.models.movement_model import MovementModel
from instrument.models.trained import ModelError, TrainedModel

IR_VERSION, OPSET = 7, 13


def onnx_bytes(model: TrainedModel) -> bytes:
    """The model from `features` (rows, F) to `confidences` (rows, C), or to `value` (rows, 1) in its range.

    The metadata are texts: `output`, `kind`, `model_id`, `feature_fingerprint`, and as JSON `feature_names` in the
    order of the columns, `classes` in that of the confidences, `range` of a value.
    Raises ModelError for a model that is no network.
    """
    if model.network is None:
        raise ModelError(f"output '{model.output}' has another learner; only networks can be written as ONNX")
    graph = float_graph(model.network).graph
    first, *others = graph.nodes
    nodes = [replace(first, inputs=("features", *first.inputs[1:])), *others]
    constants = dict(graph.constants)
    if model.classes:
        nodes.append(Node(operation="Softmax", inputs=("y",), outputs=("confidences",), attributes={"axis": 1}))
    else:
        constants |= {
            name: np.array(number, dtype=np.float32)
            for name, number in {"zero": 0, "one": 1, "low": model.low, "span": model.high - model.low}.items()
        }
        nodes += [
            Node(operation="Clip", inputs=("y", "zero", "one"), outputs=("clipped",)),
            Node(operation="Mul", inputs=("clipped", "span"), outputs=("spread",)),
            Node(operation="Add", inputs=("spread", "low"), outputs=("value",)),
        ]
    metadata = described(model)
    metadata |= (
        {"classes": json.dumps(model.classes)} if model.classes else {"range": json.dumps([model.low, model.high])}
    )
    return replace(
        graph,
        nodes=nodes,
        constants=constants,
        input_name="features",
        output_name="confidences" if model.classes else "value",
        ir_version=IR_VERSION,
        opset=OPSET,
        metadata=metadata,
    ).to_bytes()


def described(model: TrainedModel | MovementModel) -> dict[str, str]:
    """What the metadata of every model tell."""
    return {
        "output": model.output,
        "kind": model.kind,
        "model_id": model.model_id,
        "feature_fingerprint": model.feature_fingerprint,
        "feature_names": json.dumps(model.feature_names),
    }
