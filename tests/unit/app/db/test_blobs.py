from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import fsspec
import pytest

from app.db.blobs import BlobDamaged, BlobMissing, BlobStore, FolderBlobs, Place, StorageAway, open_blobs

OLD = time.time() - 7200


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path: Path) -> Place:
    url = request.getfixturevalue("s3_url") if request.param == "s3" else None
    return Place(str(tmp_path), url, cache_bytes=1 << 20)


@pytest.fixture
def blobs(place: Place) -> BlobStore:
    return open_blobs(place)


@pytest.fixture
def folder(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs")


def objects(url: str) -> list[str]:
    files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
    return sorted(path.removeprefix(f"{root}/") for path in files.find(root))


def test_equal_bytes_are_one_blob(blobs: BlobStore) -> None:
    first, second = blobs.put(b"abc"), blobs.put(b"abc")
    assert first == second
    assert (first.sha256, first.size_bytes) == (hashlib.sha256(b"abc").hexdigest(), 3)
    assert blobs.read(first.key) == b"abc"
    assert list(blobs.sizes(older_than_s=-60)) == [(first.key, 3)]


def test_what_one_machine_stores_another_reads(place: Place, tmp_path: Path) -> None:
    key = open_blobs(place).put(b"from elsewhere").key
    there = place if place.url is None else Place(str(tmp_path / "other"), place.url, place.cache_bytes)
    assert open_blobs(there).exists(key)
    assert open_blobs(there).read(key) == b"from elsewhere"


def test_a_blob_that_is_not_there_says_which(blobs: BlobStore) -> None:
    assert not blobs.exists("content/ab/abc")
    with pytest.raises(BlobMissing, match="the storage has no content/ab/abc") as caught:
        blobs.read("content/ab/abc")
    assert caught.value.key == "content/ab/abc"


def test_deleted_blobs_are_gone_and_deleting_again_is_no_fault(blobs: BlobStore) -> None:
    blobs.write("models/one", b"1")
    blobs.write("jobs/a/file", b"2")
    blobs.write("jobs/a/other", b"3")
    for _ in range(2):
        blobs.delete("models/one")
        blobs.delete_folder("jobs/a")
    assert list(blobs.keys(older_than_s=-60)) == []
    with pytest.raises(BlobMissing):
        blobs.read("models/one")


def test_only_blobs_of_some_age_are_listed(blobs: BlobStore) -> None:
    blobs.write("datasets/young", b"1")
    assert list(blobs.keys(older_than_s=3600)) == []
    assert list(blobs.keys(older_than_s=-60)) == ["datasets/young"]


def test_a_file_arrives_whole_under_its_key(blobs: BlobStore) -> None:
    with blobs.incoming() as (file, path):
        file.write(b"x" * 3_000_000)
        file.flush()
        blobs.adopt(path, "models/big")
    assert blobs.fetch("models/big").stat().st_size == 3_000_000


def test_a_blob_whose_bytes_are_others_is_not_read(place: Place, blobs: BlobStore, tmp_path: Path) -> None:
    key = blobs.put(b"as it was").key
    if place.url is None:
        (tmp_path / "blobs" / key).write_bytes(b"as it is")
        again = place
    else:
        files, root = fsspec.core.url_to_fs(place.url, skip_instance_cache=True)
        files.pipe_file(f"{root}/{key}", b"as it is")
        again = Place(str(tmp_path / "other"), place.url, place.cache_bytes)
    with pytest.raises(BlobDamaged, match="other bytes"):
        open_blobs(again).read(key)


def test_bytes_under_a_key_of_another_kind_are_checked_against_what_the_database_says(
    blobs: BlobStore,
) -> None:
    sha256 = blobs.write("datasets/d", b"data")
    assert blobs.read("datasets/d", sha256=sha256) == b"data"
    with pytest.raises(BlobDamaged):
        blobs.read("datasets/d", sha256="0" * 64)


def test_a_client_names_no_path(blobs: BlobStore) -> None:
    for key in ("../etc/passwd", "/etc/passwd", "models/../../x", "models//x", "a\0b", ""):
        with pytest.raises(ValueError, match="not a blob key"):
            blobs.read(key)


def test_room_is_checked_by_writing(blobs: BlobStore) -> None:
    blobs.check_writable()
    blobs.check_room()
    assert list(blobs.keys(older_than_s=-60)) == []


def test_a_storage_remembers_whose_it_is(blobs: BlobStore, place: Place) -> None:
    assert blobs.identity() is None
    blobs.adopt_identity("one")
    assert open_blobs(place).identity() == "one"


def test_a_blob_in_a_folder_that_is_put_again_is_young_again(folder: FolderBlobs) -> None:
    key = folder.put(b"abc").key
    os.utime(folder.path(key), (OLD, OLD))
    assert list(folder.keys(older_than_s=3600)) == [key]
    folder.put(b"abc")
    assert list(folder.keys(older_than_s=3600)) == []


def test_a_large_file_goes_up_in_parts(s3_url: str, tmp_path: Path) -> None:
    blobs = open_blobs(Place(str(tmp_path), s3_url, 1 << 30))
    data = os.urandom(1 << 20) * 110  # more than s3fs sends at once
    with blobs.incoming() as (file, path):
        file.write(data)
        file.flush()
        blobs.adopt(path, "datasets/large")
    files, root = fsspec.core.url_to_fs(s3_url, skip_instance_cache=True)
    assert "-" in files.info(f"{root}/datasets/large")["ETag"]  # S3's mark of an upload in parts
    other = open_blobs(Place(str(tmp_path / "other"), s3_url, 1 << 30))
    assert other.read("datasets/large", sha256=hashlib.sha256(data).hexdigest()) == data


def test_the_cache_keeps_what_was_asked_for_lately_within_its_bound(s3_url: str, tmp_path: Path) -> None:
    writer = open_blobs(Place(str(tmp_path / "writer"), s3_url, 1 << 30))
    keys = [writer.put(bytes([number]) * 400_000).key for number in range(4)]
    reader = open_blobs(Place(str(tmp_path / "reader"), s3_url, 1_000_000))
    cache = tmp_path / "reader" / "cache" / "blobs"
    for key in keys[:3]:
        os.utime(reader.fetch(key), (OLD, OLD))
    os.utime(reader.fetch(keys[1]))
    reader.fetch(keys[3])
    kept = {path.read_bytes()[0] for path in cache.iterdir()}
    assert kept == {1, 3}
    assert sum(path.stat().st_size for path in cache.iterdir()) <= 1_000_000


def test_a_storage_that_does_not_answer_is_an_error_of_one_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "no secret")
    blobs = open_blobs(Place(str(tmp_path), "s3://nowhere/blobs", 1 << 20))
    for action in (lambda: blobs.put(b"x"), lambda: blobs.fetch("models/m"), blobs.check_writable):
        with pytest.raises(StorageAway):
            action()


def test_nothing_but_blobs_lies_in_the_bucket(s3_url: str, tmp_path: Path) -> None:
    blobs = open_blobs(Place(str(tmp_path), s3_url, 1 << 20))
    key = blobs.put(b"abc").key
    assert objects(s3_url) == [key]
