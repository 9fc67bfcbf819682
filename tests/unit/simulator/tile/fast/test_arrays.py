"""The typed functions refuse what a compiled loop would read or write wrongly; nothing else takes addresses."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import simulator

pytest.importorskip("numba")

from simulator.tile.fast import arrays

ROOT = Path(simulator.__file__).parent
SIZES = (3, 4)


def converted(**changes):
    options = {
        "y": torch.zeros(SIZES), "length": 4, "seeds": None, "table": None, "deviation": arrays.ONE,
        "pooled": (0.0, 0.0), "step": 0.1, "bound": 1.0, "scale": arrays.ONE,
    }  # fmt: skip
    return arrays.convert_outputs(**(options | changes))


WRONG = {
    "another type": {"y": torch.zeros(SIZES, dtype=torch.float64)},
    "gaps": {"y": torch.zeros(3, 8)[:, :4]},
    "a result of another size": {"result": torch.zeros(2, 4)},
    "flags of another type": {"inside": torch.zeros(SIZES)},
    "a scale of another type": {"scale": arrays.KernelFactor(torch.ones(1, dtype=torch.float64))},
    "a scale with gaps": {"scale": arrays.KernelFactor(torch.ones(8)[::2], 1, 4, 1, 4)},
    "a table without seeds": {"table": torch.zeros(1 << 16)},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_outputs_that_the_loop_is_not_compiled_for_are_refused(changes):
    assert converted() == 0
    with pytest.raises((TypeError, ValueError)):
        converted(**changes)


def test_weights_and_gradients_that_the_loops_are_not_compiled_for_are_refused():
    with pytest.raises(TypeError):
        arrays.convert_inputs(torch.zeros(3, dtype=torch.float16), 1.0, 0.1, 1.0)
    with pytest.raises(ValueError, match="side by side"):
        arrays.update_weights(torch.zeros(4, 3).t(), torch.ones(3), bound=1.0, largest=None)
    with pytest.raises(ValueError, match="values here"):
        arrays.update_weights(torch.zeros(3, 4), torch.ones(2), bound=1.0, largest=None)
    with pytest.raises(ValueError, match="shape"):
        arrays.range_gradients(torch.zeros(3), torch.zeros(4), 1.0, 1.0, wants_d_x=True)
    with pytest.raises(ValueError, match="side by side"):
        arrays.lay_out_weights(torch.zeros(4, 3).t(), torch.zeros(3, 4), None, 4, 0, back=False)


def test_the_loops_are_called_from_one_file():
    """`data_ptr` elsewhere compares memory, and hands no address to a loop."""
    callers, importers = set(), set()
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("fast.loops", "fast.kernels")):
                callers.add(str(file.relative_to(ROOT)))
            if isinstance(node, ast.Import | ast.ImportFrom) and "numba" in ast.unparse(node):
                importers.add(str(file.relative_to(ROOT)))
    assert callers == {"tile/fast/arrays.py"}
    assert importers == {"tile/fast/kernels.py"}
