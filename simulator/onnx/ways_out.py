"""What to do about files that cannot be read: for each kind of file, what its operators reveal about it."""

from __future__ import annotations

from collections.abc import Mapping

ANOTHER_DOMAIN = "only operators of the domain ai.onnx are supported"
DOMAINS = {
    "ai.onnx.ml": (
        "ai.onnx.ml, ONNX's operators for trees, vector machines and the like",
        "only networks are simulated; if a network is among the outputs, choose it: ?outputs=<name>",
    ),
    "com.microsoft": (
        "com.microsoft, which onnxruntime writes when it optimises a file",
        "upload the file as it was before onnxruntime optimised or quantised it",
    ),
}
_QUANTISED = (
    "upload the network as it was before it was quantised: on the hardware the tiles' weights and converters "
    "decide about its precision; files in the QDQ format (QuantizeLinear, DequantizeLinear) are read"
)
_SPECTRUM = (
    "compute the spectrogram before: store it in the dataset as the network's input, and export the network "
    "from there on"
)
_ZIP_MAP = (
    "convert with options={id(classifier): {'zipmap': False}}, which gives the probabilities as numbers"
)
# What to do about operators that stand for a kind of file, reported with every node and once for the file.
WAYS_OUT: Mapping[str, str] = {
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"), _QUANTISED),
    **dict.fromkeys(("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"), _QUANTISED),
    **dict.fromkeys(
        ("QGemm", "QLinearAdd", "QLinearMul", "QLinearGlobalAveragePool", "QLinearConcat"), _QUANTISED
    ),
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu", "QLinearAveragePool", "MatMulNBits"), _QUANTISED),
    **dict.fromkeys(("STFT", "DFT", "MelWeightMatrix"), _SPECTRUM),
    **dict.fromkeys(("HannWindow", "HammingWindow", "BlackmanWindow"), _SPECTRUM),
    "ZipMap": _ZIP_MAP,
    "NonMaxSuppression": "export the network without its selection of boxes, or choose outputs before that",
}
TOLD_AT_ONCE = (_QUANTISED, _SPECTRUM, _ZIP_MAP)
