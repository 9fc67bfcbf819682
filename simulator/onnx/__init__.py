"""ONNX models: inspected without torch, imported as trainable torch modules, verified, written back.

Names are loaded when they are used, so that inspecting a file does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.onnx.export import export_model
    from simulator.onnx.importer import Binding, ImportedModel, ValueSpec, import_model
    from simulator.onnx.judging import FAIL, WARN
    from simulator.onnx.report import inspect_model
    from simulator.onnx.verify import Verification, compare_with, verify_import, verify_imported

_HOMES = {
    "FAIL": "judging",
    "WARN": "judging",
    "Binding": "importer",
    "ImportedModel": "importer",
    "ValueSpec": "importer",
    "Verification": "verify",
    "compare_with": "verify",
    "export_model": "export",
    "import_model": "importer",
    "inspect_model": "report",
    "verify_import": "verify",
    "verify_imported": "verify",
}

__all__ = [
    "FAIL",
    "WARN",
    "Binding",
    "ImportedModel",
    "ValueSpec",
    "Verification",
    "compare_with",
    "export_model",
    "import_model",
    "inspect_model",
    "verify_import",
    "verify_imported",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
