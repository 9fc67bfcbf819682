from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest


@pytest.fixture
def write_npz(tmp_path):
    def write(**arrays):
        path = tmp_path / "data.npz"
        np.savez_compressed(path, **arrays)
        return path

    return write


@pytest.fixture
def write_zip(tmp_path):
    def write(members: dict[str, bytes]):
        path = tmp_path / "data.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    return write


def npy_bytes(array) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


def classes_set(samples=10, features=(4,), classes=3, seed=0):
    """Return the arrays of a small classification set."""
    stream = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    return {"x": stream.standard_normal((samples, *features)).astype(np.float32), "y": labels}


def split_set(**options):
    one, other = classes_set(**options), classes_set(seed=1, **options)
    return {
        **{f"{key}_train": value for key, value in one.items()},
        **{f"{key}_test": value for key, value in other.items()},
    }
