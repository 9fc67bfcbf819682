"""Datasets from the command line, in a process that limits itself.

python -m simulator.data inspect FILE [--format FORMAT] [options]   the report of a file, as JSON
python -m simulator.data list                                      the built-in datasets, as JSON
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from simulator import intake

_MEMORY_BYTES = 4 << 30
_CPU_S = 60


def main() -> int:
    """Run the command; 3 means that the file was rejected."""
    parser = argparse.ArgumentParser(prog="python -m simulator.data")
    commands = parser.add_subparsers(dest="command", required=True)
    looking = commands.add_parser("inspect", help="report what is in a dataset file")
    looking.add_argument("file", type=Path)
    looking.add_argument("--format", default="npz", help="what the file is: npz, safetensors, parquet, csv")
    looking.add_argument("--test-fraction", type=float)
    looking.add_argument("--seed", type=int, help="of the split; it changes nothing in the report")
    looking.add_argument("--mean", type=_numbers, help="subtracted from x: one number, or one per channel")
    looking.add_argument("--std", type=_numbers, help="what x is divided by then")
    looking.add_argument("--layout", choices=("nchw", "nhwc"), default="nchw", help="of images")
    commands.add_parser("list", help="list the built-in datasets")
    arguments = parser.parse_args()
    intake.keep_libraries_single_threaded()
    if arguments.command == "list":
        return _list()
    intake.limit_this_process(_MEMORY_BYTES, _CPU_S)
    return intake.answer(lambda: _inspect(arguments), too_large="too_large")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _inspect(arguments: argparse.Namespace) -> dict[str, Any]:
    from simulator.data.inspection import inspect
    from simulator.data.options import DatasetOptions, ImageLayout

    options = DatasetOptions(
        test_fraction=arguments.test_fraction,
        seed=arguments.seed,
        mean=arguments.mean,
        std=arguments.std,
        layout=ImageLayout(arguments.layout),
    )
    return inspect(arguments.file, arguments.format, options)


def _list() -> int:
    from simulator.data.catalogue import BUILTINS
    from simulator.data.inspection import inspect

    reports = {name: one.describe() | inspect(one.path, "npz") for name, one in BUILTINS.items()}
    sys.stdout.write(json.dumps(reports, indent=1, allow_nan=False) + "\n")
    return intake.EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
