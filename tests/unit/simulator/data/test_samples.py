"""A few samples of a dataset: bounded, as the file has them, pictures as PNG."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from simulator.data.layout import arrange
from simulator.data.options import DatasetOptions, ImageLayout
from simulator.data.samples import MOST, samples_of


def samples(x: np.ndarray, y: np.ndarray | None = None, **options: Any) -> list[dict[str, Any]]:
    targets = np.arange(len(x)) % 3 if y is None else y
    return samples_of(arrange({"x": x, "y": targets}), DatasetOptions(**options))


def pixels(png: str) -> np.ndarray:
    """The bytes of a PNG file as this module writes it: chunks of header, data and end, no prediction."""
    data = base64.b64decode(png)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(name + content)
        chunks[name], at = content, at + 12 + size
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, rest) == (8, [0, 0, 0])
    channels = {0: 1, 2: 3}[colour]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + channels * width)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, channels)


def test_pictures_of_bytes_keep_every_pixel() -> None:
    x = np.random.default_rng(1).integers(0, 256, (10, 3, 20, 12), dtype=np.uint8)
    found = samples(x)
    assert len(found) == MOST
    for index, one in enumerate(found):
        [content] = one["inputs"]
        assert (content["kind"], content["whole"], one["target"]) == ("image", True, index % 3)
        assert (pixels(content["png"]) == x[index].transpose(1, 2, 0)).all()


def test_other_pictures_are_stretched_over_their_range_and_large_ones_thinned_out() -> None:
    x = np.linspace(-2, 2, 9 * 100 * 100).reshape(9, 100, 100, 1)
    [first, *_, last] = [one["inputs"][0] for one in samples(x, layout=ImageLayout.CHANNELS_LAST)]
    assert not first["whole"]
    assert pixels(first["png"]).shape == (34, 34, 1)
    assert pixels(first["png"]).min() == 0
    assert pixels(last["png"]).max() in (254, 255)


def test_series_are_curves_over_their_longer_axis() -> None:
    x = np.zeros((4, 200, 2), dtype=np.float32)
    x[..., 1] = 1.23456
    [content] = samples(x)[0]["inputs"]
    assert (content["kind"], content["whole"]) == ("series", False)
    assert [len(curve) for curve in content["values"]] == [50, 50]
    assert set(content["values"][1]) == {1.235}


@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.int64, "tokens"), (np.uint8, "numbers"), (np.float32, "numbers")]
)
def test_one_axis_is_tokens_or_numbers(dtype: type, kind: str) -> None:
    x = np.arange(4 * 30).reshape(4, 30).astype(dtype)
    [content] = samples(x)[1]["inputs"]
    assert (content["kind"], content["whole"]) == (kind, False)
    assert content["values"] == list(range(30, 46))


def test_what_is_kept_of_a_large_file_is_small() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((40, 3, 300, 300), dtype=np.float32)
    found = samples(x, rng.random((40, 500)))
    assert len(json.dumps(found)) < 100_000
