"""Multi-head attention whose projections are analog; the products of queries, keys and values are digital.

Those products have no constant factor that could be programmed: see docs/simulator.md.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simulator.nn.composite import AnalogComposite, with_state


class AnalogMultiheadAttention(AnalogComposite):
    """`torch.nn.MultiheadAttention` with the four projections on analog tiles.

    Attributes:
        query: matrix of the queries' projection.
        key: matrix of the keys' projection.
        value: matrix of the values' projection.
        output: matrix of the output's projection.
    """

    digital_type = nn.MultiheadAttention

    def _build(self, digital: nn.Module) -> None:
        if not isinstance(digital, nn.MultiheadAttention):
            raise TypeError(f"expected a plain attention layer, got {type(digital).__name__}")
        self.embed_dim, self.num_heads = digital.embed_dim, digital.num_heads
        self.kdim, self.vdim = digital.kdim, digital.vdim
        self.dropout, self.batch_first = digital.dropout, digital.batch_first
        # What torch's transformer layers look at before they bypass the modules below them.
        self.in_proj_bias = None
        self._qkv_same_embed_dim = False
        self._was_one_matrix = digital.in_proj_weight is not None
        if self._was_one_matrix:
            weights: Any = digital.in_proj_weight.chunk(3)
        else:
            weights = (digital.q_proj_weight, digital.k_proj_weight, digital.v_proj_weight)
        biases: Any = (None,) * 3 if digital.in_proj_bias is None else digital.in_proj_bias.chunk(3)
        self.query, self.key, self.value = map(self._matrix, weights, biases)
        self.output = self._matrix(digital.out_proj.weight, digital.out_proj.bias)

    def forward(  # noqa: PLR0917 - torch's signature
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return outputs and attention weights, shaped as torch's layer does."""
        if is_causal and attn_mask is None:
            raise ValueError("AnalogMultiheadAttention: is_causal says what attn_mask is; give it too")
        batched = query.dim() == 3
        if not batched:
            query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif self.batch_first:
            query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
        steps, batch, _ = query.shape
        q, k, v = (
            self._heads(matrix(x))
            for matrix, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        scores = _masked(scores, attn_mask, key_padding_mask)
        weights = functional.softmax(scores, dim=-1)
        mixed = functional.dropout(weights, self.dropout, self.training) @ v
        y = self.output(mixed.permute(2, 0, 1, 3).reshape(steps, batch, self.embed_dim))
        shown = (weights.mean(dim=1) if average_attn_weights else weights) if need_weights else None
        if not batched:
            return y.squeeze(1), None if shown is None else shown.squeeze(0)
        return y.transpose(0, 1) if self.batch_first else y, shown

    def _heads(self, x: Tensor) -> Tensor:
        """Return `[batch, heads, time, size]` of `[time, batch, heads * size]`."""
        steps, batch, _ = x.shape
        return x.reshape(steps, batch, self.num_heads, -1).permute(1, 2, 0, 3)

    def probe_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of two sequences: three queries, and four keys and values."""
        shapes = ((3, 2, self.embed_dim), (4, 2, self.kdim), (4, 2, self.vdim))
        return tuple((b, t, e) if self.batch_first else (t, b, e) for t, b, e in shapes)

    def to_digital(self) -> nn.Module:
        """Return a plain torch layer with the effective logical weights."""
        weight, bias = self.output.effective_weights()
        inner = [matrix.effective_weights() for matrix in (self.query, self.key, self.value)]
        weights, biases = [part for part, _ in inner], [part for _, part in inner if part is not None]
        state = {"out_proj.weight": weight}
        if self._was_one_matrix:
            state["in_proj_weight"] = torch.cat(weights)
        else:
            names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
            state |= dict(zip(names, weights, strict=True))
        if bias is not None:
            state |= {"out_proj.bias": bias, "in_proj_bias": torch.cat(biases)}
        options = {
            "embed_dim": self.embed_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "bias": bias is not None,
            "kdim": self.kdim,
            "vdim": self.vdim,
            "batch_first": self.batch_first,
        }
        digital = with_state(nn.MultiheadAttention, options, state)
        digital.requires_grad_(self.output.weight.requires_grad)
        return digital.train(self.training)

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, batch_first={self.batch_first}"


def _masked(scores: Tensor, attn_mask: Tensor | None, key_padding_mask: Tensor | None) -> Tensor:
    """Add the masks to `[batch, heads, queries, keys]`: true or minus infinity hides a key."""
    if attn_mask is not None:
        mask = _additive(attn_mask, scores)
        scores = scores + (mask.reshape(scores.shape) if mask.dim() == 3 else mask)
    if key_padding_mask is not None:
        scores = scores + _additive(key_padding_mask, scores)[:, None, None, :]
    return scores


def _additive(mask: Tensor, scores: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(scores.dtype)
    return torch.zeros_like(mask, dtype=scores.dtype).masked_fill(mask, -math.inf)
