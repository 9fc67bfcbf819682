"""The list of supported operators as the documentation has it."""

from __future__ import annotations

from onnx import defs

from simulator.onnx import limits
from simulator.onnx.recognise import RECOGNISERS
from simulator.onnx.supported import SUPPORTED

_MODULES = {
    "BatchNormalization": "nn.BatchNorm1d, 2d, 3d",
    "Conv": "nn.Conv1d, 2d, 3d (analog)",
    "ConvTranspose": "nn.ConvTranspose1d, 2d, 3d",
    "Dropout": "nn.Dropout",
    "GRU": "nn.GRU",
    "Gather": "nn.Embedding for a constant table",
    "Gemm": "nn.Linear (analog)",
    "LSTM": "nn.LSTM",
    "LayerNormalization": "nn.LayerNorm",
    "MatMul": "nn.Linear (analog) for a constant matrix",
    "RNN": "nn.RNN",
}


def operator_table() -> str:
    """Return a Markdown table of the operators, the opsets they are read from, and what they become."""
    lines = ["| operator | opsets | with constant weights |", "|---|---|---|"]
    for name in sorted(SUPPORTED):
        module = _MODULES[name] if name in RECOGNISERS else ""
        lines.append(f"| {name} | {_opsets(name)} | {module} |")
    return "\n".join(lines) + "\n"


def _opsets(name: str) -> str:
    newest = min(limits.NEWEST_OPSET, defs.onnx_opset_version())
    known = [opset for opset in range(limits.OLDEST_OPSET, newest + 1) if _exists(name, opset)]
    last = "newest" if known[-1] == newest else str(known[-1])
    return f"{known[0]} to {last}"


def _exists(name: str, opset: int) -> bool:
    try:
        return not defs.get_schema(name, opset).deprecated
    except defs.SchemaError:
        return False
