"""Measure everything against its target: `python -m benchmarks [steps] [chips] [service] [client]`.

Prints a table, and writes `benchmarks/results.json` and `benchmarks/results.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from benchmarks import chips, client, service, steps
from benchmarks.rows import Row, draw, save, show
from simulator.memory import keep_freed_memory

RESULTS = Path(__file__).with_name("results.json")
PARTS = {"steps": steps.rows, "chips": chips.rows, "service": service.rows, "client": client.rows}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    keep_freed_memory()
    console = Console()
    found: list[Row] = []
    for name in names or PARTS:
        for row in PARTS[name]():
            console.print(f"{row.work}: {row.value:.3g} {row.unit} (target {row.target:g})")
            found.append(row)
            save(found, RESULTS)
    show(found, console)
    draw(RESULTS, RESULTS.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
