from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from app.db.blobs import BlobMissing, BlobStore

OLD = time.time() - 7200


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def test_equal_bytes_are_one_blob(blobs: BlobStore) -> None:
    first, second = blobs.put(b"abc"), blobs.put(b"abc")
    assert first == second
    assert (first.sha256, first.size_bytes) == (hashlib.sha256(b"abc").hexdigest(), 3)
    assert blobs.read(first.key) == b"abc"
    assert len(list(blobs.keys(older_than_s=-1))) == 1


def test_a_blob_that_is_put_again_is_young_again(blobs: BlobStore) -> None:
    key = blobs.put(b"abc").key
    os.utime(blobs.path(key), (OLD, OLD))
    assert list(blobs.keys(older_than_s=3600)) == [key]
    blobs.put(b"abc")
    assert list(blobs.keys(older_than_s=3600)) == []


def test_a_blob_that_is_not_there_says_which(blobs: BlobStore) -> None:
    with pytest.raises(BlobMissing, match="the storage has no content/ab/abc") as caught:
        blobs.read("content/ab/abc")
    assert caught.value.key == "content/ab/abc"


def test_room_is_checked_by_writing(blobs: BlobStore) -> None:
    blobs.check_room()
    assert list(blobs.keys(older_than_s=-1)) == []


def test_a_storage_remembers_whose_it_is(blobs: BlobStore, tmp_path: Path) -> None:
    assert blobs.identity() is None
    blobs.adopt_identity("one")
    assert BlobStore(tmp_path / "blobs").identity() == "one"
