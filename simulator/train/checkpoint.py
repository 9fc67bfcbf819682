"""What training needs to go on after an epoch as if it had never been interrupted."""

from __future__ import annotations

import io

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from simulator.train.validation import BestSoFar


def save(
    epoch: int, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler, best: BestSoFar | None
) -> bytes:
    """Return a checkpoint after an epoch.

    Its `model` holds the parameters and buffers that training would end with here: with early stopping those
    of the best epoch. Where they are not the latest, `latest` holds what training goes on with.
    """
    state = {
        "epoch": epoch,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
    }
    if best is not None:
        state["best"] = {"epoch": best.epoch, "figure": best.figure}
        if best.epoch != epoch:
            state["latest"], state["model"] = state["model"], best.state
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def restore(
    checkpoint: bytes,
    model: nn.Module,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    best: BestSoFar | None,
) -> int:
    """Load a checkpoint of the same specification and return the epoch after which it was made."""
    state = torch.load(io.BytesIO(checkpoint), weights_only=True, map_location="cpu")
    model.load_state_dict(state.get("latest", state["model"]))
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    if best is not None:
        best.epoch, best.figure = state["best"]["epoch"], state["best"]["figure"]
        best.state = state["model"]
    return int(state["epoch"])
