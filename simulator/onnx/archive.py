"""Bytes to a protobuf message: of an `.onnx` file, or of a zip of one and its external data."""

from __future__ import annotations

import io
import zipfile
import zlib

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # it has no stubs

from simulator.intake import Fault, IntakeError
from simulator.onnx import limits, tensors
from simulator.onnx.wire import check_size_once_parsed

_MAGIC = b"PK\x03\x04"
_MOST_FILES = 64
_CHUNK = 1 << 20


def parse(data: bytes) -> onnx.ModelProto:
    """Return the protobuf message, its size bounded, nothing else checked.

    Raises:
        IntakeError: `not_onnx`, `model_too_complex`.
    """
    if len(data) > limits.FILE_BYTES:
        message = f"the file has {len(data)} bytes; at most {limits.FILE_BYTES} are accepted"
        raise IntakeError(limits.TOO_COMPLEX, message)
    check_size_once_parsed(data, onnx.ModelProto.DESCRIPTOR)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise IntakeError(limits.NOT_ONNX, "the bytes are no ONNX model: the file is damaged") from None
    if not model.ir_version or not model.graph.node or not model.opset_import:
        raise IntakeError(limits.NOT_ONNX, "the bytes are no ONNX model: there is no graph with nodes in it")
    return model


def model_bytes(data: bytes) -> bytes:
    """Return the bytes of one self-contained `.onnx` file.

    Args:
        data: such bytes already, or a zip that holds one `.onnx` file and the files its weights are in, side
            by side without folders.

    Raises:
        IntakeError: the zip is damaged, too large, or does not hold what the model needs.
    """
    if not data.startswith(_MAGIC):
        return data
    files = _unpack(data)
    models = [name for name in files if name.endswith(".onnx")]
    if len(models) != 1:
        raise IntakeError(limits.NOT_ONNX, f"the zip has to hold one .onnx file; it holds {sorted(files)}")
    model = parse(files.pop(models[0]))
    _fill_in(model, files)
    filled: bytes = model.SerializeToString()
    return filled


def _unpack(data: bytes) -> dict[str, bytes]:
    """Return the files of a zip, counted and measured while they are unpacked, not as the zip declares."""
    files: dict[str, bytes] = {}
    left = limits.FILE_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_FILES:
                raise IntakeError(limits.TOO_COMPLEX, f"the zip holds more than {_MOST_FILES} files")
            for entry in entries:
                _check_entry(entry, files)
                content = bytearray()
                with archive.open(entry) as stream:
                    while chunk := stream.read(min(_CHUNK, left + 1)):
                        left -= len(chunk)
                        if left < 0:
                            message = f"the zip unpacks to more than {limits.FILE_BYTES} bytes"
                            raise IntakeError(limits.TOO_COMPLEX, message)
                        content += chunk
                files[entry.filename] = bytes(content)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise IntakeError(limits.NOT_ONNX, f"the zip cannot be unpacked: {error}") from None
    return files


def _check_entry(entry: zipfile.ZipInfo, files: dict[str, bytes]) -> None:
    name = entry.filename
    is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
    if entry.is_dir() or is_link or "/" in name or "\\" in name or name in files:
        message = f"the zip holds {name!r}; it may hold files only, without folders, links or repeated names"
        raise IntakeError(limits.INVALID, message)


def _fill_in(model: onnx.ModelProto, files: dict[str, bytes]) -> None:
    """Put external data in place, from the zip alone."""
    faults, total = [], 0
    for where, tensor in tensors.tensors_of_model(model):
        if not tensors.is_external(tensor):
            continue
        about = {entry.key: entry.value for entry in tensor.external_data}
        content = files.get(about.get("location", ""))
        start = _number(about.get("offset", "0"))
        if content is None:
            message = f"{where} is in the file {about.get('location')!r}, which is not in the zip"
            faults.append(Fault(limits.EXTERNAL_DATA, message))
            continue
        length = _number(about.get("length", str(max(len(content) - (start or 0), 0))))
        if start is None or length is None or start + length > len(content):
            faults.append(Fault(limits.INVALID, f"{where} lies outside of the file {about['location']!r}"))
            continue
        total += length
        if total > limits.FILE_BYTES:  # tensors may point at the same bytes many times
            raise IntakeError(limits.TOO_COMPLEX, f"the weights take more than {limits.FILE_BYTES} bytes")
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.DEFAULT
        tensor.raw_data = content[start : start + length]
    if faults:
        raise IntakeError(faults[0].code, faults[0].message, faults)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
