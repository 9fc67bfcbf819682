"""Datasets from the command line, in a process that limits itself.

python -m simulator.data inspect FILE [--format npz] [--test-fraction F]   the report of a file, as JSON
python -m simulator.data list                                             the built-in datasets, as JSON
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from pathlib import Path

from simulator.data.catalogue import BUILTINS
from simulator.data.errors import DatasetRejectedError, reject
from simulator.data.inspection import FORMATS, inspect

_MEMORY_BYTES = 4 << 30
_CPU_S = 60
_REJECTED = 3


def main() -> int:
    """Run the command; 3 means that the file was rejected."""
    parser = argparse.ArgumentParser(prog="python -m simulator.data")
    commands = parser.add_subparsers(dest="command", required=True)
    looking = commands.add_parser("inspect", help="report what is in a dataset file")
    looking.add_argument("file", type=Path)
    looking.add_argument("--format", default="npz", help=f"one of {', '.join(FORMATS)}")
    looking.add_argument("--test-fraction", type=float)
    looking.add_argument("--seed", type=int, help="of the split; it changes nothing in the report")
    commands.add_parser("list", help="list the built-in datasets")
    arguments = parser.parse_args()
    if arguments.command == "list":
        _print({name: one.describe() | inspect(one.path, "npz") for name, one in BUILTINS.items()})
        return 0
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    try:
        _print(inspect(arguments.file, arguments.format, arguments.test_fraction))
    except DatasetRejectedError as error:
        _print(error.to_json())
        return _REJECTED
    except MemoryError:
        _print(reject("too_large", "reading the file takes too much memory").to_json())
        return _REJECTED
    return 0


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
