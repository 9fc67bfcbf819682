"""Count what a protobuf file holds without building it: a few megabytes can ask for gigabytes of objects."""

from __future__ import annotations

from typing import Any

from simulator.intake import IntakeError
from simulator.onnx import limits

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def check_size_once_parsed(data: bytes, descriptor: Any) -> None:
    """Refuse a file that would become too many objects; the work is bounded by the limits, not the file.

    Args:
        data: the serialised message.
        descriptor: the protobuf descriptor of its type, `onnx.ModelProto.DESCRIPTOR`.

    Raises:
        IntakeError: `not_onnx` for bytes that are no protobuf, `model_too_complex` over a limit.
    """
    messages = fields = 0
    stack = [(memoryview(data), descriptor, 0)]
    while stack:
        view, kind, depth = stack.pop()
        position, end = 0, len(view)
        while position < end:
            fields += 1
            if fields > limits.FIELDS:
                raise _too_complex(f"more than {limits.FIELDS} fields")
            key, position = _varint(view, position)
            wire_type = key & 7
            if wire_type == _VARINT:
                _, position = _varint(view, position)
                continue
            if wire_type == _BYTES:
                length, position = _varint(view, position)
            elif wire_type in (_FIXED32, _FIXED64):
                length = 4 if wire_type == _FIXED32 else 8
            else:
                raise _not_onnx()
            start, position = position, position + length
            if position > end:
                raise _not_onnx()
            field = kind.fields_by_number.get(key >> 3)
            if wire_type == _BYTES and field is not None and field.message_type is not None:
                messages += 1
                if messages > limits.MESSAGES:
                    raise _too_complex(f"more than {limits.MESSAGES} parts (nodes, tensors, attributes, ...)")
                if depth == limits.NESTING:
                    raise _too_complex(f"parts nested more than {limits.NESTING} deep")
                stack.append((view[start:position], field.message_type, depth + 1))


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(view[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, position + shift + 1
    raise _not_onnx()


def _not_onnx() -> IntakeError:
    return IntakeError(
        limits.NOT_ONNX,
        "the bytes are no ONNX model: the file is damaged, cut off, or of another kind",
        hint="upload what torch.onnx.export(model, args, 'model.onnx', external_data=False) writes",
    )


def _too_complex(what: str) -> IntakeError:
    return IntakeError(limits.TOO_COMPLEX, f"the file holds {what}; no network of this size is simulated")
