"""Files that hold a network, but not as ONNX: what they are, and how they become one."""

from __future__ import annotations

import zipfile
from pathlib import Path

from app.kit.problems import Fault, InvalidRequest

_TORCH = "torch.onnx.export(model.eval(), (example,), 'model.onnx', dynamo=True), then send that file"
_KERAS = "convert it with tf2onnx (python -m tf2onnx.convert ... --output model.onnx), then send that file"
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x80\x02", "a pickle, as torch.save wrote them before version 1.6", _TORCH),
    (b"\x80\x04", "a Python pickle", _TORCH),
    (b"\x80\x05", "a Python pickle", _TORCH),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Keras writes", _KERAS),
    (b"GGUF", "a GGUF file", "send the network that it was made from as ONNX"),
    (b"{", "JSON", "send the bytes of the .onnx file"),
    (
        b"<",
        "HTML or XML, perhaps the page of a download",
        "look at the file; send the bytes of the .onnx file",
    ),
)


def refuse_foreign(path: Path) -> None:
    """Refuse a file that is plainly of another kind, and say how to make ONNX of it.

    Raises:
        InvalidRequest: it is (`not_onnx`).
    """
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"PK"):
        _refuse_archive(path)
        return
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 30:
        raise _refusal("a safetensors file: weights without the network around them", _TORCH)
    for magic, what, remedy in _STARTS:
        if start.startswith(magic):
            raise _refusal(what, remedy)
    if start[4:8] == b"TFL3":
        raise _refusal("a TensorFlow Lite file", _KERAS)


def _refuse_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return  # the look into the file says what is wrong with it
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        raise _refusal("a PyTorch file, as torch.save writes it", _TORCH)
    if any(name.endswith("model.weights.h5") for name in names):
        raise _refusal("a Keras file", _KERAS)
    if any(name.endswith("saved_model.pb") for name in names):
        raise _refusal("a TensorFlow SavedModel", _KERAS)


def _refusal(what: str, remedy: str) -> InvalidRequest:
    message = f"this is {what}, not an ONNX file"
    fault = Fault(pointer="", code="not_onnx", message=message, hint=f"export it: {remedy}")
    return InvalidRequest(message, code="not_onnx", errors=[fault])
