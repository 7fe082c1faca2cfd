"""A trained model of movements as an ONNX file: how it looks back in time is in it, what makes events of it is not."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.onnx_cpu import float_graph
from instrument.kernels.onnx_graph import Node
from instrument.models.following import PARTS
from instrument.models.movement_model import MovementModel
from instrument.models.onnx_file import IR_VERSION, OPSET, described
from instrument.models.recent_past import EVEN, LAGS, MEAN_OF_MOMENTS, MEAN_OF_STEPS, RecentPast


def movement_onnx_bytes(model: MovementModel) -> bytes:
    """The model from `features` (rows, moments, F) to `said` (rows, 2 + movements * parts).

    Features are as they were so many seconds ago as `moments_s` in the metadata tells. What is said is how likely it
    is that nothing is under way and that each part of each movement is, and how many seconds ago it began; `columns`
    names them. The rest of the metadata is as `onnx_file.onnx_bytes` has it.
    """
    looking = _Looking(model.past)
    network = float_graph(model.network).graph
    first, *others = network.nodes
    looking.constants |= network.constants
    looking.nodes += [replace(first, inputs=(looking.seen(), *first.inputs[1:])), *others]
    count = 1 + len(model.classes) * PARTS
    likely = looking.add("Softmax", looking.picked("y", range(count)), axis=1)
    share = looking.add("Clip", looking.picked("y", [count]), looking.number("zero", 0.0), looking.number("one", 1.0))
    elapsed_s = looking.add("Mul", looking.add("Mul", share, share), looking.number("window_s", model.past.window_s))
    looking.nodes.append(
        Node(operation="Concat", inputs=(likely, elapsed_s), outputs=("said",), attributes={"axis": 1})
    )
    parts = [f"{name}.{part}" for name in model.classes for part in range(1, PARTS + 1)]
    metadata = {
        **described(model),
        "classes": json.dumps(model.classes),
        "moments_s": json.dumps([round(float(one), 6) for one in model.past.lags_s]),
        "columns": json.dumps(["nothing", *parts, "elapsed_s"]),
    }
    return replace(
        network,
        nodes=looking.nodes,
        constants=looking.constants,
        inputs=(-1, len(model.past.lags_s), len(model.feature_names)),
        outputs=count + 1,
        input_name="features",
        output_name="said",
        ir_version=IR_VERSION,
        opset=OPSET,
        metadata=metadata,
    ).to_bytes()


class _Looking:
    """`RecentPast.inputs` as operations."""

    def __init__(self, past: RecentPast) -> None:
        self._past = past
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def seen(self) -> str:
        """What the network sees (rows, width)."""
        past, add, number = self._past, self.add, self.number
        mean, axes = self.constant("past.mean", past.mean), self.constant("past.axes", past.axes)
        places = add("MatMul", add("Sub", "features", mean), axes)
        now = self.moments(places, 0, 1)
        steps = add("Sub", self.moments(places, 0, LAGS + EVEN), self.moments(places, 1, LAGS + EVEN + 1))
        moved = add("Sqrt", self.sum_of(add("Mul", steps, steps)))
        far_moved, even_moved = self.moments(moved, 0, LAGS), self.moments(moved, LAGS + 1, LAGS + EVEN)
        far = add("Sub", self.moments(places, 1, LAGS + 1), now)
        longest = add("ReduceMax", far_moved, axes=(1,), keepdims=1)
        slack = add("Add", add("Mul", longest, number("few", 0.05)), number("least", 0.01))
        directions = add("Div", self.moments(steps, 0, LAGS), add("Add", far_moved, slack))
        spans = self.constant("past.spans", past.spans[:, None])
        speeds = add("Add", add("Div", far_moved, spans), number("slow", 0.05))
        energies = add("MatMul", self.constant("past.steps", MEAN_OF_STEPS.T), even_moved)
        usual = add("Add", add("Mul", self.moments(energies, 2, 3), number("some", 0.3)), number("little", 0.003))
        lengths = add("Add", even_moved, usual)
        bends = add("Div", self.moments(steps, LAGS + 1, LAGS + EVEN), lengths)
        turned = add("Mul", self.moments(bends, 1, EVEN - 1), self.moments(bends, 0, EVEN - 2))
        since = add("Sub", self.moments(places, LAGS + 1, LAGS + 1 + EVEN), now)
        of_moments = self.constant("past.moments", MEAN_OF_MOMENTS)
        means = add("MatMul", of_moments, since)
        variances = add("Sub", add("MatMul", of_moments, add("Mul", since, since)), add("Mul", means, means))
        spreads = add("Sqrt", add("Max", variances, number("none", 0.0)))
        logarithms = [add("Log", one) for one in (speeds, lengths, add("Add", energies, number("rest", 0.01)))]
        seen = [now, far, directions, bends, means, spreads, *logarithms, self.sum_of(turned)]
        return add("Concat", *(add("Flatten", one, axis=1) for one in seen), axis=1)

    def moments(self, values: str, first: int, last: int) -> str:
        return self.picked(values, range(first, last))

    def picked(self, values: str, numbers: Any) -> str:
        """Those along axis 1."""
        wanted = self.constant(f"at{len(self.nodes)}", np.array(list(numbers), dtype=np.int64))
        return self.add("Gather", values, wanted, axis=1)

    def sum_of(self, values: str) -> str:
        """(..., 1): over the last axis."""
        return self.add("ReduceSum", values, self.constant("last", np.array([2], dtype=np.int64)), keepdims=1)

    def number(self, name: str, value: float) -> str:
        return self.constant(f"number.{name}", np.array(value, dtype=np.float32))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def add(self, operation: str, *inputs: str, **attributes: int | tuple[int, ...]) -> str:
        gives = f"p{len(self.nodes)}"
        self.nodes.append(Node(operation=operation, inputs=inputs, outputs=(gives,), attributes=attributes))
        return gives
