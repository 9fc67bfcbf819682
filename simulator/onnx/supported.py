"""The operators that the importer knows, told without torch: what an upload is checked against.

`simulator.onnx.operators` holds one function for each (a test keeps the two in step), except for those that
the plan always turns into something else.
"""

from __future__ import annotations

from collections.abc import Mapping

ELEMENTWISE = frozenset(
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Clip Cos Cosh "
    "Div Equal Erf Exp Floor Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Log Max Mean Min Mod Mul Neg "
    "Not Or Pow Reciprocal Round Sign Sin Sinh Sqrt Sub Sum Tan Where Xor".split()
)
ACTIVATIONS = frozenset(
    "Celu Elu Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu Relu Selu Shrink Sigmoid Softmax "
    "Softplus Softsign Swish Tanh ThresholdedRelu".split()
)
SHAPES = frozenset(
    "Cast CastLike Concat ConstantOfShape DepthToSpace Expand EyeLike Flatten Identity OneHot Pad Range Reshape "
    "Shape Size Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze".split()
)
INDEXING = frozenset(
    "ArgMax ArgMin CumSum Gather GatherElements GatherND NonZero ScatterElements ScatterND TopK".split()
)
REDUCTIONS = frozenset(
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare".split()
)
SPATIAL = frozenset(
    "AveragePool Conv ConvTranspose GlobalAveragePool GlobalMaxPool MaxPool Resize Upsample".split()
)
NORMALISATIONS = frozenset(
    "BatchNormalization GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization "
    "MeanVarianceNormalization RMSNormalization".split()
)
PRODUCTS = frozenset("Einsum Gemm MatMul".split())
RECURRENT = frozenset("GRU LSTM RNN".split())
QUANTISATION = frozenset("DequantizeLinear QuantizeLinear".split())
ALWAYS_PLANNED = frozenset("Constant Dropout".split())

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
    | ALWAYS_PLANNED
)
CONTROL_FLOW = frozenset("If Loop Scan SequenceMap".split())

# What is computed once, while reading, when all its inputs are constants: nothing that takes long.
FOLDABLE = ELEMENTWISE | SHAPES | INDEXING - {"TopK"} | REDUCTIONS | QUANTISATION
# What passes the numbers of its first input on as they are, in another arrangement.
VIEWS = frozenset("Cast CastLike Flatten Identity Reshape Squeeze Transpose Unsqueeze".split())

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
}
# Operators that give fewer values here than ONNX lets them.
OUTPUTS = {"MaxPool": 1, "BatchNormalization": 1}
