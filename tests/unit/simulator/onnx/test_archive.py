from __future__ import annotations

import io
import stat
import zipfile

import onnx
import pytest

from simulator.intake import IntakeError
from simulator.onnx import export_model, import_model, inspect_model, limits, verify_import
from simulator.onnx.archive import model_bytes
from tests.unit.simulator.onnx.graphs import dense, external, floats, model_of, node


def zipped(files: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def split_model(offset: int = 0, **entries) -> tuple[bytes, bytes]:
    """Return a model whose weight is in another file, and that file."""
    model = dense()
    (weight,) = [tensor for tensor in model.graph.initializer if tensor.name == "fc.weight"]
    length = len(weight.raw_data)
    data = external(weight, offset=offset, length=length, **entries)
    return model.SerializeToString(), bytes(offset) + data


def refusal(data: bytes) -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        inspect_model(data)
    return caught.value


def test_a_model_and_its_data_make_the_whole_model():
    model, data = split_model(offset=64)
    whole = model_bytes(zipped({"m.onnx": model, "weights.bin": data}))
    found = {tensor.name: tensor.raw_data for tensor in onnx.ModelProto.FromString(whole).graph.initializer}
    assert found == {tensor.name: tensor.raw_data for tensor in dense().graph.initializer}


def test_a_zip_is_inspected_imported_verified_and_written_back():
    model, data = split_model()
    upload = zipped({"m.onnx": model, "weights.bin": data})
    report = inspect_model(upload)
    assert report["size_bytes"] == len(upload)
    assert [layer["name"] for layer in report["layers"]] == ["fc"]
    assert verify_import(upload).max_rel_diff < 1e-5
    imported = import_model(upload)
    assert imported.sha256 == report["sha256"]
    assert verify_import(export_model(imported, imported.module)).max_rel_diff < 1e-5


def test_what_torch_writes_by_default_is_read(tmp_path):
    import torch

    from tests.unit.simulator.onnx.conftest import quiet_export

    network = torch.nn.Sequential(torch.nn.Linear(256, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10)).eval()
    quiet_export(network, torch.zeros(2, 256), tmp_path / "model.onnx", dynamo=True)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(files) == 2
    assert refusal(files["model.onnx"]).code == limits.EXTERNAL_DATA
    assert verify_import(zipped(files)).max_rel_diff < 1e-5


def test_data_that_is_not_in_the_zip_is_named():
    model, _ = split_model()
    error = refusal(zipped({"m.onnx": model}))
    assert error.code == limits.EXTERNAL_DATA
    assert "weights.bin" in error.message


@pytest.mark.parametrize(
    "entries", [{"length": 10**9}, {"offset": 10**9}, {"offset": -8}, {"length": "many"}]
)
def test_data_outside_of_the_file_is_refused(entries):
    model = dense()
    data = external(model.graph.initializer[0], **entries)
    assert refusal(zipped({"m.onnx": model.SerializeToString(), "weights.bin": data})).code == limits.INVALID


def test_many_tensors_may_not_point_at_the_same_large_data(monkeypatch):
    model = model_of([node("MatMul", ["x", "w"], ["y"])], {"w": floats(4, 512)})
    data = external(model.graph.initializer[0])
    for number in range(20):
        copy = model.graph.initializer.add()
        copy.CopyFrom(model.graph.initializer[0])
        copy.name = f"copy{number}"
    files = {"m.onnx": model.SerializeToString(), "weights.bin": data}
    monkeypatch.setattr(limits, "FILE_BYTES", 2 * sum(len(content) for content in files.values()))
    error = refusal(zipped(files))
    assert error.code == limits.TOO_COMPLEX
    assert "weights take" in error.message


def test_a_bomb_is_refused_while_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(limits, "FILE_BYTES", 1 << 20)
    error = refusal(zipped({"m.onnx": bytes(4 << 20)}))
    assert error.code == limits.TOO_COMPLEX


def test_a_declared_size_is_not_believed():
    model, data = split_model()
    upload = bytearray(zipped({"m.onnx": model, "weights.bin": data}))
    central = upload.rfind(b"PK\x01\x02")
    upload[central + 24 : central + 28] = (1).to_bytes(4, "little")
    assert refusal(bytes(upload)).code == limits.NOT_ONNX


@pytest.mark.parametrize("name", ["folder/m.onnx", "../m.onnx", "/m.onnx", "a\\m.onnx"])
def test_names_with_folders_are_refused(name):
    assert refusal(zipped({name: dense().SerializeToString()})).code == limits.INVALID


def test_links_are_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("m.onnx", dense().SerializeToString())
        link = zipfile.ZipInfo("weights.bin")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert refusal(buffer.getvalue()).code == limits.INVALID


@pytest.mark.parametrize("files", [{}, {"a.txt": b""}, {"a.onnx": b"", "b.onnx": b""}])
def test_a_zip_holds_one_model(files):
    upload = zipped(files) if files else zipped({"a": b"", "b": b""})
    assert refusal(upload).code == limits.NOT_ONNX


def test_too_many_files_are_refused():
    assert refusal(zipped({f"{i}.bin": b"" for i in range(100)})).code == limits.TOO_COMPLEX
