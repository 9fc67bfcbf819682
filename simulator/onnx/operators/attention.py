"""Attention as one operator, as exporters write it from opset 23 on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulator.onnx.operators.registry import operator

# The windows are refused by the plan unless they are open.
_IGNORED = ("softmax_precision", "qk_matmul_output_mode", "left_window_size", "right_window_size")


def _heads(x: Tensor, count: int) -> Tensor:
    """Return `[batch, time, heads * width]` as `[batch, heads, time, width]`."""
    batch, time, _ = x.shape
    return x.reshape(batch, time, count, -1).transpose(1, 2)


@operator("Attention", since=23, ignored=_IGNORED)
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    is_causal: int = 0,
    q_num_heads: int = 0,
    kv_num_heads: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
) -> Tensor:
    """Return softmax(Q K^T scale + mask) V, per head.

    Args:
        query: `[batch, heads, time, width]`, or `[batch, time, heads * width]`; the result has the same form.
        key: the same of the keys; one of its heads may serve several of the query's.
        value: the same of the values.
        mask: added to the scores, or, if boolean, where they count.
        is_causal: whether a query sees only keys that are not after it.
        q_num_heads: heads of the query, if it is given without an axis for them.
        kv_num_heads: heads of keys and values, likewise.
        scale: factor of the scores, the inverse root of the width by default.
        softcap: limit of the scores, reached smoothly; 0 is none.
    """
    packed = query.dim() == 3
    if packed:
        query = _heads(query, q_num_heads)
        key, value = _heads(key, kv_num_heads), _heads(value, kv_num_heads)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = torch.matmul(query * math.sqrt(factor), (key * math.sqrt(factor)).transpose(-1, -2))
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype is torch.bool else scores + mask
    nothing_allowed = (scores == -math.inf).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(nothing_allowed, 0.0), -1)
    result = torch.matmul(weights.masked_fill(nothing_allowed, 0.0), value)
    return result.transpose(1, 2).flatten(2) if packed else result
