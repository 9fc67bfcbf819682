"""Both clients have the same methods, with the same words and arguments."""

from __future__ import annotations

import inspect

import pytest

from driftline import AsyncDriftline, AsyncJob, Driftline, InvalidInput, Job


def methods(kind: type) -> dict[str, object]:
    return {
        name: getattr(kind, name)
        for name in dir(kind)
        if not name.startswith("_") and callable(getattr(kind, name))
    }


PAIRS = [(Driftline, AsyncDriftline), (Job, AsyncJob)]


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS, ids=["client", "job"])
def test_both_have_the_same_methods(blocking, asynchronous):
    one, other = methods(blocking), methods(asynchronous)
    assert set(one) == set(other)
    for name, method in one.items():
        assert inspect.signature(method) == inspect.signature(other[name]), name
        if name != "close":
            assert inspect.getdoc(method) == inspect.getdoc(other[name]), name


@pytest.mark.parametrize("kind", [Driftline, Job])
def test_help_shows_words_and_arguments(kind):
    for name, method in methods(kind).items():
        assert inspect.getdoc(method), name
    assert next(iter(inspect.signature(kind.wait).parameters)) == "self"
    with_job = inspect.signature(Driftline.cancel).parameters
    assert list(with_job) == ["self", "job"]
    assert list(inspect.signature(Job.cancel).parameters) == ["self"]


def test_a_job_can_do_what_the_client_can_do_to_it():
    job_methods = {
        name for name in methods(Driftline) if "job" in inspect.signature(getattr(Driftline, name)).parameters
    }
    assert job_methods - {"job", "submit", "dry_run", "run"} <= set(methods(Job))


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "not an address"])
def test_an_address_that_cannot_be_used_is_told(url):
    with pytest.raises(InvalidInput, match="address"):
        Driftline(url)


def test_a_key_that_cannot_stand_in_a_header_is_told():
    with pytest.raises(InvalidInput, match="header"):
        Driftline("http://127.0.0.1:1", api_key="dl_\n")


def test_the_address_of_the_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("DRIFTLINE_URL", "http://there:1/")
    assert Driftline().base_url == "http://there:1"
    monkeypatch.delenv("DRIFTLINE_URL")
    assert Driftline().base_url == "http://127.0.0.1:8000"
