"""Models: upload, list, read, delete."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from driftline.core.steps import Flow, Request, call, call_json, get, work
from driftline.errors import InvalidInput
from driftline.operations.lists import listed
from driftline.operations.naming import Named, path_of

_RAW = "application/octet-stream"


def upload_model(
    model: Any, example_input: Any = None, *, name: str | None = None, outputs: str | None = None
) -> Flow[Any]:
    """Upload a model and return it; the same model again gives the same id.

    Args:
        model: the path of an ONNX file or of a zip with its external data, the bytes of one, an
            `onnx.ModelProto`, or a `torch.nn.Module`, which is exported with the options that suit the
            service, in evaluation mode and with any batch size.
        example_input: for a module: a tensor or an array such as the module takes, first axis the batch;
            several inputs as a tuple.
        name: what to call it; the file's or the class's name by default.
        outputs: the names of the outputs to keep, with commas between them; all by default.

    Raises:
        InvalidInput: there is no such file, or the module cannot be exported.
        InvalidRequest: the service cannot simulate it; every reason is told.
    """
    content, own_name = yield from work(lambda: _content(model, example_input))
    params = {"name": name or own_name, "outputs": outputs}
    request = Request("POST", "/v1/models", params, {"Content-Type": _RAW}, content, repeatable=True)
    return (yield from call_json(request))


def models(*, limit: int | None = 50) -> Flow[list[Any]]:
    """Return the uploaded models, newest first; all of them with `limit=None`."""
    return (yield from listed("/v1/models", limit))


def model(model: Named) -> Flow[Any]:
    """Return a model by its id."""
    return (yield from call_json(get(path_of("models", model))))


def delete_model(model: Named) -> Flow[None]:
    """Delete a model that no job is on."""
    yield from call(Request("DELETE", path_of("models", model)))


def _content(model: Any, example_input: Any) -> tuple[bytes | Path, str | None]:
    """Return what is sent for a model, and its own name."""
    if isinstance(model, str | Path):
        return _of_file(Path(model))
    if isinstance(model, bytes | bytearray):
        return bytes(model), None
    if hasattr(model, "model_proto"):  # what torch.onnx.export returns
        model = model.model_proto
    if hasattr(model, "SerializeToString"):
        return model.SerializeToString(), getattr(getattr(model, "graph", None), "name", None) or None
    if hasattr(model, "state_dict") and callable(model):
        from driftline import exporting

        return exporting.to_onnx(model, example_input), type(model).__name__
    raise InvalidInput(
        f"a {type(model).__name__} is not a model: give the path or the bytes of an ONNX file, "
        "or a torch module with an example input"
    )


def _of_file(path: Path) -> tuple[bytes | Path, str]:
    if not path.is_file():
        raise InvalidInput(f"there is no file {str(path)!r} to upload as a model")
    weights = path.with_name(f"{path.name}.data")
    return (_zipped(path, weights) if weights.is_file() else path), path.stem


def _zipped(*paths: Path) -> bytes:
    """Return the files as a zip, in which equal files always give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in paths:
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
    return buffer.getvalue()
