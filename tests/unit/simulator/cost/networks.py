"""Reports of models, as the inspection makes them, for the tests of what they cost."""

from __future__ import annotations

from typing import Any


def layer(name, weight_shape, positions=1, *, op="Linear", kind="analog", **more) -> dict[str, Any]:
    return {
        "name": name,
        "op": op,
        "kind": kind,
        "weight_shape": list(weight_shape),
        "groups": 1,
        "bias": False,
        "positions": positions,
        **more,
    }


def operation(name, *, macs=0, operations=0, read=0, written=0, nodes=1) -> dict[str, Any]:
    return {
        "name": name,
        "op": name,
        "nodes": nodes,
        "macs": macs,
        "operations": operations,
        "read": read,
        "written": written,
        "open": False,
    }


def report(*layers, operations=()) -> dict[str, Any]:
    return {"layers": list(layers), "operations": list(operations)}


def resnet20() -> dict[str, Any]:
    """ResNet-20 of He et al. for 32x32 images: its shortcuts have no weights."""
    layers = [layer("conv1", (16, 3, 3, 3), 32 * 32, op="Conv2d")]
    for stage, (channels, side) in enumerate(((16, 32), (32, 16), (64, 8))):
        for number in range(6):
            inputs = channels // 2 if stage and not number else channels
            name = f"stages.{stage}.{number}"
            layers.append(layer(name, (channels, inputs, 3, 3), side * side, op="Conv2d"))
    return report(*layers, layer("fc", (10, 64), bias=True))
