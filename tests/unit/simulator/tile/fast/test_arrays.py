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


def converted(y=None, **changes):
    options = {"length": 4, "noise_std": None, "generator": None, "step": 0.1, "bound": 1.0}
    y = torch.zeros(SIZES) if y is None else y
    return arrays.convert_outputs(y, **(options | {"scale": arrays.ONE} | changes))


def flagged(flags):
    return converted(saturated=arrays.VectorFlags(flags, 3, 4, 4))


WRONG = {
    "another type": lambda: converted(torch.zeros(SIZES, dtype=torch.float64)),
    "gaps": lambda: converted(torch.zeros(3, 8)[:, :4]),
    "flags of another type": lambda: flagged(torch.zeros(3)),
    "flags with gaps": lambda: flagged(torch.zeros(6, dtype=torch.bool)[::2]),
    "a scale of another type": lambda: arrays.KernelFactor(torch.ones(1, dtype=torch.float64)),
    "a scale with gaps": lambda: arrays.KernelFactor(torch.ones(8)[::2], 1, 4, 1, 4),
    "noise without a stream": lambda: converted(noise_std=0.1),
}


@pytest.mark.parametrize("convert", WRONG.values(), ids=WRONG)
def test_outputs_that_the_loop_is_not_compiled_for_are_refused(convert):
    assert converted().clipped == 0
    with pytest.raises((TypeError, ValueError)):
        convert()


def test_gradients_of_outputs_that_the_loop_is_not_compiled_for_are_refused():
    def gradients(inside=None, values=None):
        arrays.output_gradients(
            torch.ones(SIZES), 4, 4, arrays.ONE, inside, values, in_columns=True, wants_bias=False
        )

    gradients(torch.ones(SIZES, dtype=torch.uint8), torch.ones(SIZES))
    with pytest.raises(TypeError):
        gradients(inside=torch.ones(SIZES))
    with pytest.raises(ValueError, match="values here"):
        gradients(inside=torch.ones(2, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="values here"):
        gradients(values=torch.ones(2, 4))


def test_weights_and_gradients_that_the_loops_are_not_compiled_for_are_refused():
    with pytest.raises(TypeError):
        arrays.convert_inputs(torch.zeros(3, dtype=torch.float16), 1.0, 0.1, 1.0)
    with pytest.raises(ValueError, match="side by side"):
        arrays.update_weights(torch.zeros(4, 3).t(), torch.ones(3), bound=1.0, largest=None)
    with pytest.raises(ValueError, match="values here"):
        arrays.update_weights(torch.zeros(3, 4), torch.ones(2), bound=1.0, largest=None)
    with pytest.raises(ValueError, match="shape"):
        arrays.range_gradients(torch.zeros(3), torch.zeros(4), 1.0, 1.0, wants_d_x=True)
    with pytest.raises(TypeError):
        arrays.lay_out_weights(torch.zeros(3, 4, dtype=torch.float64), (3, 4), None, 0)
    with pytest.raises(ValueError, match="do not fit"):
        arrays.lay_out_weights(torch.zeros(3, 4), (3, 4), None, leading=1)
    with pytest.raises(ValueError, match="each of 3 outputs"):
        arrays.weight_gradient(torch.zeros(3, 4), (3, 4), torch.ones(2), 0)
    with pytest.raises(ValueError, match="do not fit"):
        arrays.weight_gradient(torch.zeros(2, 4), (3, 4), None, 0)


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
