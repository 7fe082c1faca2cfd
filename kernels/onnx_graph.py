"""ONNX models as bytes, written field by field, so that nothing but onnxruntime is needed to run them.

Only the part of the format (onnx.proto) that a chain of layers takes. It knows no layers: `kernels/onnx_cpu.py`
says which nodes one becomes here, `models/onnx_file.py` what is added for other programs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation."""

    operation: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, int | float | tuple[int, ...]] = field(default_factory=dict)
    domain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Operations in order, from `x` (`inputs`, -1 for any rows) to `y` (any rows, `outputs`), both float32."""

    nodes: Sequence[Node]
    constants: Mapping[str, NDArray[Any]]
    inputs: tuple[int, ...]
    outputs: int
    input_name: str = "x"
    output_name: str = "y"
    ir_version: int = 10
    opset: int = 20
    """Of ONNX's own operations; the fewer are asked for, the more programs read it."""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The model as onnxruntime reads it."""
        graph = b"".join(_message(1, _node(node)) for node in self.nodes)
        graph += _message(2, b"instrument")
        graph += b"".join(_message(5, _tensor(name, array)) for name, array in self.constants.items())
        graph += _message(11, _value(self.input_name, self.inputs))
        graph += _message(12, _value(self.output_name, (-1, self.outputs)))
        domains = {"": self.opset} | {node.domain: 1 for node in self.nodes if node.domain}
        opsets = b"".join(
            _message(8, _message(1, domain.encode()) + _number(2, version)) for domain, version in domains.items()
        )
        metadata = b"".join(
            _message(14, _message(1, key.encode()) + _message(2, value.encode()))
            for key, value in self.metadata.items()
        )
        producer = _message(2, b"instrument")
        return _number(1, self.ir_version) + producer + _message(7, graph) + opsets + metadata


def _node(node: Node) -> bytes:
    parts = [_message(1, name.encode()) for name in node.inputs]
    parts += [_message(2, name.encode()) for name in node.outputs]
    parts.append(_message(4, node.operation.encode()))
    for name, value in node.attributes.items():
        if isinstance(value, tuple):
            body = b"".join(_number(8, one) for one in value) + _number(20, 7)
        elif isinstance(value, int):
            body = _number(3, value) + _number(20, 2)
        else:
            body = _varint(2 << 3 | 5) + np.float32(value).tobytes() + _number(20, 1)
        parts.append(_message(5, _message(1, name.encode()) + body))
    parts.append(_message(7, node.domain.encode()))
    return b"".join(parts)


def _tensor(name: str, array: NDArray[Any]) -> bytes:
    dimensions = b"".join(_number(1, size) for size in array.shape)
    content = np.ascontiguousarray(array).tobytes()
    return dimensions + _number(2, _ELEMENT_TYPES[array.dtype.name]) + _message(8, name.encode()) + _message(9, content)


def _value(name: str, sizes: tuple[int, ...]) -> bytes:
    shape = b"".join(_message(1, _message(2, b"rows") if size < 0 else _number(1, size)) for size in sizes)
    return _message(1, name.encode()) + _message(2, _message(1, _number(1, 1) + _message(2, shape)))


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
