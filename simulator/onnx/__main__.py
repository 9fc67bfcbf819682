"""`python -m simulator.onnx inspect FILE` and `compare FILE REF.npz` (JSON), and `operators` (Markdown)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from simulator import intake


def _inspect(arguments: argparse.Namespace) -> dict[str, Any]:
    from simulator.onnx.report import inspect_model

    outputs = None if arguments.outputs is None else arguments.outputs.split(",")
    samples = None if arguments.samples is None else json.loads(arguments.samples)
    return inspect_model(_read(arguments.file), nodes=arguments.nodes, outputs=outputs, samples=samples)


def _compare(arguments: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    from simulator.onnx.verify import compare_with

    with np.load(arguments.reference, allow_pickle=False) as arrays:
        verification = compare_with(_read(arguments.file), dict(arrays))
    return {"max_abs_diff": verification.max_abs_diff, "max_rel_diff": verification.max_rel_diff}


def _read(path: Path) -> bytes:
    from simulator.onnx import limits

    try:
        size = path.stat().st_size
    except OSError as error:
        raise intake.IntakeError("unreadable", f"{path} cannot be read: {error.strerror}") from None
    if size > limits.FILE_BYTES:
        message = f"the file has {size} bytes; at most {limits.FILE_BYTES} are accepted"
        raise intake.IntakeError(limits.TOO_COMPLEX, message)
    return path.read_bytes()


def main() -> int:
    """Run the command; the exit status is 0, or 3 for a file that is refused."""
    parser = argparse.ArgumentParser(prog="python -m simulator.onnx", description=__doc__)
    commands = parser.add_subparsers(required=True)
    inspect = commands.add_parser("inspect", help="report what a model is made of, or why it is refused")
    inspect.add_argument("file", type=Path)
    inspect.add_argument("--nodes", action="store_true", help="list for each node what it becomes")
    inspect.add_argument("--outputs", help="names of the outputs that are wanted, with commas between them")
    inspect.add_argument("--samples", help="shape of a sample for each input, as JSON: fills open sizes")
    inspect.set_defaults(run=_inspect, limited=True)
    compare = commands.add_parser("compare", help="compare the imported model with recorded outputs")
    compare.add_argument("file", type=Path)
    compare.add_argument("reference", type=Path, help=".npz with arrays input:<name> and output:<name>")
    compare.set_defaults(run=_compare, limited=False)
    operators = commands.add_parser("operators", help="list the supported operators, in Markdown")
    operators.set_defaults(run=None, limited=False)
    arguments = parser.parse_args()
    if arguments.run is None:
        from simulator.onnx.operator_table import operator_table

        sys.stdout.write(operator_table())
        return intake.EXIT_OK
    intake.keep_libraries_single_threaded()
    if arguments.limited:
        intake.limit_this_process()
    return intake.answer(lambda: arguments.run(arguments), too_large="model_too_complex")


if __name__ == "__main__":
    sys.exit(main())
