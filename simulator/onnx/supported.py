"""The operators that the importer knows, listed without torch: what an upload is checked against.

`simulator.onnx.operators` holds one function for each (a test keeps the two in step), except for those that
the plan always turns into something else.
"""

from __future__ import annotations

from collections.abc import Mapping


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ELEMENTWISE = _names(
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Clip "
    "Cos Cosh Div Equal Erf Exp Floor Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Log Max Mean "
    "Min Mod Mul Neg Not Or Pow Reciprocal Round Sign Sin Sinh Sqrt Sub Sum Tan Where Xor"
)
ACTIVATIONS = _names(
    "Celu Elu Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu Relu Selu Shrink "
    "Sigmoid Softmax Softplus Softsign Swish Tanh ThresholdedRelu"
)
SHAPES = _names(
    "Cast CastLike Concat ConstantOfShape DepthToSpace Expand EyeLike Flatten Identity OneHot Pad Range "
    "Reshape Shape Size Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze"
)
INDEXING = _names(
    "ArgMax ArgMin CumSum Gather GatherElements GatherND NonZero ScatterElements ScatterND TopK"
)
REDUCTIONS = _names(
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare"
)
SPATIAL = _names("AveragePool Conv ConvTranspose GlobalAveragePool GlobalMaxPool MaxPool Resize Upsample")
NORMALISATIONS = _names(
    "BatchNormalization GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization "
    "MeanVarianceNormalization RMSNormalization"
)
PRODUCTS = _names("Attention Einsum Gemm MatMul")
RECURRENT = _names("GRU LSTM RNN")
QUANTISATION = _names("DequantizeLinear QuantizeLinear")
SEQUENCES = _names("ConcatFromSequence SequenceAt SequenceConstruct SplitToSequence")
ALWAYS_PLANNED = _names("Constant Dropout")

SUPPORTED = (
    ELEMENTWISE
    | ACTIVATIONS
    | SHAPES
    | INDEXING
    | REDUCTIONS
    | SPATIAL
    | NORMALISATIONS
    | PRODUCTS
    | RECURRENT
    | QUANTISATION
    | SEQUENCES
    | ALWAYS_PLANNED
)
CONTROL_FLOW = _names("If Loop Scan SequenceMap")

# What is computed once, while reading, when all its inputs are constants: nothing that takes long.
FOLDABLE = ELEMENTWISE | SHAPES | INDEXING - {"TopK"} | REDUCTIONS | QUANTISATION
# What passes the numbers of its first input on as they are, in another arrangement.
VIEWS = _names("Cast CastLike Flatten Identity Reshape Squeeze Transpose Unsqueeze")

# Inputs, by position, whose constant numbers a user's framework holds as parameters that it trains.
TRAINABLE_INPUTS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "MatMul", "Attention"), (0, 1)),
    **dict.fromkeys(("Gather", "Slice", "Expand", "Tile"), (0,)),
    **dict.fromkeys(("PRelu", "RMSNormalization"), (1,)),
    **dict.fromkeys(("BatchNormalization", "LayerNormalization"), (1, 2)),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), (1, 2)),
    **dict.fromkeys(("Conv", "ConvTranspose", "Where"), (1, 2)),
    **dict.fromkeys(("Concat", "Einsum"), tuple(range(64))),
    "Gemm": (0, 1, 2),
}

# Attributes of which only some values are supported.
SUPPORTED_VALUES: Mapping[str, Mapping[str, tuple[object, ...]]] = {
    "Resize": {
        "antialias": (0,),
        "keep_aspect_ratio_policy": ("stretch",),
        "coordinate_transformation_mode": (
            "half_pixel",
            "half_pixel_symmetric",
            "pytorch_half_pixel",
            "align_corners",
            "asymmetric",
        ),
    },
    "Attention": {"left_window_size": (-1,), "right_window_size": (-1,)},
}
# Operators that give or take fewer values here than ONNX lets them.
OUTPUTS = {"MaxPool": 1, "BatchNormalization": 1, "Attention": 1}
INPUTS = {"Attention": 4}
