"""Gives a network whose output is a probability logits instead: losses and accuracies are defined on these.

A loss behind a saturated sigmoid or softmax has no gradient, and cross entropy of probabilities taken for
logits cannot come near zero. The activation at the end is left out where it can be, and inverted where not.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from simulator.config.tasks import Task
from simulator.onnx.endings import Ending
from simulator.onnx.graph import VALUE_OF

_SMALLEST = 1e-7  # probabilities are kept this far from 0 and 1


def logarithm_of_probabilities(p: Tensor) -> Tensor:
    """Return log(p), finite: logits of a classifier whose probabilities sum to 1."""
    return p.clamp(min=_SMALLEST).log()


def logit_of_probabilities(p: Tensor) -> Tensor:
    """Return log(p / (1 - p)), finite: the logit of each number by itself."""
    return torch.logit(p, eps=_SMALLEST)


def logit_of_logarithms(log_p: Tensor) -> Tensor:
    """Return log(p / (1 - p)), given log(p)."""
    return logit_of_probabilities(log_p.exp())


def give_logits(module: fx.GraphModule, ending: Ending | None, task: Task, *, is_binary: bool) -> None:
    """Let a module return logits for a task, in place.

    Args:
        module: the imported module, of one output.
        ending: what the output ends in; None where its numbers are taken as they are.
        task: a regression keeps the outputs as they are.
        is_binary: whether a classifier answers with one number.
    """
    if ending is None or task is Task.REGRESSION:
        return
    one_by_one = task is Task.MULTI_LABEL or is_binary
    invertible = ("sigmoid",) if one_by_one else ("sigmoid", "softmax")
    if ending.activation in invertible and _leave_out(module, ending):
        return
    if ending.activation in ("log_softmax", "log_probabilities"):
        if one_by_one:
            _append(module, logit_of_logarithms)
    else:
        _append(module, logit_of_probabilities if one_by_one else logarithm_of_probabilities)


def _leave_out(module: fx.GraphModule, ending: Ending) -> bool:
    """Lead the logits past the activation to the output; returns whether that can be done."""
    made = {node.meta[VALUE_OF]: node for node in module.graph.nodes if VALUE_OF in node.meta}
    activation, logits = made.get(ending.value), made.get(ending.logits or "")
    output = _output_of(module)
    if activation is None or logits is None or not isinstance(output.args[0], fx.Node):
        return False
    old, new = activation, logits
    for name in ending.way:
        node = made.get(name)
        if node is None or node is old:  # another name of the same value
            continue
        if name in ending.clamps:
            old = node
            continue
        with module.graph.inserting_before(output):
            copied = module.graph.node_copy(
                node,
                lambda given, old=old, new=new: new if given is old else given,  # type: ignore[misc]
            )
        old, new = node, copied
    if output.args[0] is not old:
        return False
    output.args = (new,)
    _finish(module)
    return True


def _append(module: fx.GraphModule, function: object) -> None:
    output = _output_of(module)
    with module.graph.inserting_before(output):
        output.args = (module.graph.call_function(function, (output.args[0],)),)  # type: ignore[arg-type]
    _finish(module)


def _output_of(module: fx.GraphModule) -> fx.Node:
    output: fx.Node = next(node for node in reversed(module.graph.nodes) if node.op == "output")
    return output


def _finish(module: fx.GraphModule) -> None:
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
