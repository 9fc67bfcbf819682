"""Networks that the tests export: what users of torch's exporters hand in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 16, bias=False), nn.ReLU()
        )
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.head(self.net(x)), -1)


class Block(nn.Module):
    """A residual block: normalised convolutions, one of them depthwise, and a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + x)


class ConvNet(nn.Module):
    """BatchNorm, residual adds, grouped, strided, dilated and unevenly padded convolutions, poolings."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 5, stride=2, padding=2)
        self.bn = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.grouped = nn.Conv2d(8, 12, (3, 2), padding="same", groups=4, dilation=2)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.smooth = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.fc1 = nn.Linear(12 * 4, 16)
        self.norm = nn.BatchNorm1d(16)
        self.fc2 = nn.Linear(16 + 12, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(F.hardswish(self.bn(self.stem(x))))
        y = self.smooth(self.pool(F.leaky_relu(self.grouped(y), 0.1)))
        pooled = F.adaptive_avg_pool2d(y, 2).flatten(1)
        largest = F.adaptive_max_pool2d(y, 1).flatten(1)
        return self.fc2(torch.cat([F.silu(self.norm(self.fc1(pooled))), largest], 1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 12, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(24, 10, batch_first=True)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.lstm(x)
        y, _ = self.gru(y)
        return self.head(y[:, -1])


class VisionTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 4, 4)
        self.cls = nn.Parameter(torch.randn(1, 1, 32))
        self.pos = nn.Parameter(torch.randn(1, 5, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True, activation="gelu", norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.cls.expand(x.shape[0], -1, -1), y], 1) + self.pos
        return self.head(self.encoder(y)[:, 0])


class LanguageModel(nn.Module):
    """Embeddings, causal attention, an output that shares its weights with the embedding."""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(50, 32)
        self.wpe = nn.Embedding(16, 32)
        self.ln = nn.LayerNorm(32)
        self.qkv = nn.Linear(32, 96)
        self.proj = nn.Linear(32, 32)
        self.head = nn.Linear(32, 50, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        batch, time = tokens.shape
        x = self.wte(tokens) + self.wpe(torch.arange(time, device=tokens.device))
        q, k, v = (z.view(batch, time, 4, 8).transpose(1, 2) for z in self.qkv(self.ln(x)).split(32, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        return self.head(x + F.gelu(self.proj(y.reshape(batch, time, 32)), approximate="tanh"))


class UNet(nn.Module):
    """Down and up again: transposed convolution, interpolation, a skip connection, group normalisation."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 8, 3, 2, 1)
        self.norm = nn.GroupNorm(2, 8)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.out = nn.Conv2d(17, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.mish(self.norm(self.down(x)))
        enlarged = F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.out(torch.cat([x, self.up(y), enlarged], 1))


EXAMPLES = {
    Mlp: torch.zeros(2, 1, 8, 8),
    ConvNet: torch.zeros(2, 1, 28, 28),
    Recurrent: torch.zeros(2, 7, 8),
    VisionTransformer: torch.zeros(2, 3, 8, 8),
    LanguageModel: torch.zeros(2, 16, dtype=torch.int64),
    UNet: torch.zeros(2, 1, 16, 16),
}


def trained_looking(network: type[nn.Module], seed: int = 0) -> nn.Module:
    """Return the network with all numbers different, as after training."""
    torch.manual_seed(seed)
    model = network()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point() and value.dim() == 1:
                value.add_(0.1 * torch.randn_like(value))
    return model.eval()
