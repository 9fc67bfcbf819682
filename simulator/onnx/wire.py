"""Count what a protobuf file holds without building it: a few megabytes can ask for gigabytes of objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.intake import IntakeError
from simulator.onnx import limits

_VARINT, _BYTES = 0, 2
_FIXED_LENGTHS = {1: 8, 5: 4}  # by wire type, in bytes
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
        for number, content in _fields(view):
            fields += 1
            if fields > limits.FIELDS:
                raise _too_complex(f"more than {limits.FIELDS} fields")
            field = kind.fields_by_number.get(number)
            if content is None or field is None:
                continue
            if field.type == field.TYPE_STRING:
                _check_text(content, f"{kind.name}.{field.name}")
            if field.message_type is None:
                continue
            messages += 1
            if messages > limits.MESSAGES:
                raise _too_complex(f"more than {limits.MESSAGES} parts (nodes, tensors, attributes, ...)")
            if depth == limits.NESTING:
                raise _too_complex(f"parts nested more than {limits.NESTING} deep")
            stack.append((content, field.message_type, depth + 1))


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Yield the number of each field of a message, and its bytes if it is of a kind that has some."""
    position, end = 0, len(view)
    while position < end:
        key, position = _varint(view, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            _, position = _varint(view, position)
            yield number, None
            continue
        if wire_type == _BYTES:
            length, position = _varint(view, position)
        elif wire_type in _FIXED_LENGTHS:
            length = _FIXED_LENGTHS[wire_type]
        else:
            raise _not_onnx()
        start, position = position, position + length
        if position > end:
            raise _not_onnx()
        yield number, view[start:position] if wire_type == _BYTES else None


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(view[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, position + shift + 1
    raise _not_onnx()


def _check_text(content: memoryview, where: str) -> None:
    """Refuse names and notes that are no text: everything later handles them as such."""
    try:
        str(content, "utf-8")
    except UnicodeDecodeError:
        shown = bytes(content[:40]).decode(errors="backslashreplace")
        raise IntakeError(
            limits.INVALID,
            f"the field {where} is no valid UTF-8: {shown!r}",
            hint="ONNX stores names and notes in UTF-8; rename what has other bytes in its name",
        ) from None


def _not_onnx() -> IntakeError:
    return IntakeError(
        limits.NOT_ONNX,
        "the bytes are no ONNX model: the file is damaged, cut off, or of another kind",
        hint="upload what torch.onnx.export(model, args, 'model.onnx', external_data=False) writes",
    )


def _too_complex(what: str) -> IntakeError:
    return IntakeError(limits.TOO_COMPLEX, f"the file holds {what}; no network of this size is simulated")
