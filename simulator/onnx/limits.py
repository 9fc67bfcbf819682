"""How much of anything a model may have, and the codes of its refusals."""

from __future__ import annotations

FILE_BYTES = 256 << 20
PARAMETERS = 100_000_000
NODES = 20_000
MESSAGES = 400_000  # protobuf messages in a file: an empty one costs about 160 bytes once parsed
FIELDS = 2_000_000
NESTING = 32
FOLDED_ELEMENTS = 16 << 20  # of one constant that is computed while reading
FOLDED_ELEMENTS_IN_ALL = 64 << 20
FOLDED_NODES = 5_000
VALUE_ELEMENTS = 1 << 28  # of one activation for one sample, 1 GiB as float32
RANK = 16
OLDEST_OPSET = 7
NEWEST_OPSET = 28

NOT_ONNX = "not_onnx"
EXTERNAL_DATA = "external_data_forbidden"
UNSUPPORTED_OPERATOR = "unsupported_operator"
NON_FINITE_WEIGHTS = "non_finite_weights"
TOO_COMPLEX = "model_too_complex"
INVALID = "invalid_model"
FIXED_BATCH = "fixed_batch_size"
IMPORT_FAILED = "import_failed"
