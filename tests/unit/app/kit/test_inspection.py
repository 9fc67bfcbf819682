import time

import anyio
import pytest

from app.kit.inspection import Inspector
from app.kit.problems import InvalidRequest, TooLarge

MODULE = "tests.unit.app.kit.child"


@pytest.fixture
def inspect(tmp_path):
    def run(behaviour, *options, timeout_s=30.0):
        path = tmp_path / "file"
        path.write_text(behaviour)

        async def work():
            return await Inspector(timeout_s).inspect(MODULE, path, *options, too_complex="thing_too_complex")

        return anyio.run(work)

    return run


def test_a_report_comes_from_an_empty_folder_and_a_bare_environment(inspect, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    found = inspect("report", "--format", "npz")
    assert found["cwd"] == []
    assert found["arguments"] == ["--format", "npz"]
    assert "DATABASE_URL" not in found["environment"]


def test_a_rejection_carries_every_fault_of_the_child(inspect):
    with pytest.raises(InvalidRequest) as caught:
        inspect("reject")
    assert caught.value.code == "unsupported_operator"
    assert [fault.model_dump() for fault in caught.value.errors] == [
        {"pointer": "/graph/node/3", "code": "unsupported_operator", "message": "no Foo", "hint": "drop it"}
    ]


def test_a_rejection_for_size_is_a_413(inspect):
    with pytest.raises(TooLarge) as caught:
        inspect("too large")
    assert caught.value.errors[0].message == "9 GB inside"


@pytest.mark.parametrize("behaviour", ["crash", "babble", "fail"])
def test_a_child_that_breaks_down_is_a_failed_inspection_and_is_logged(inspect, caplog, behaviour):
    with pytest.raises(InvalidRequest) as caught:
        inspect(behaviour)
    assert caught.value.code == "inspection_failed"
    assert "limit" not in caught.value.errors[0].message
    assert MODULE in caplog.text


@pytest.mark.parametrize(("behaviour", "said"), [("compute", "processor time"), ("be killed", "memory")])
def test_a_child_that_exceeds_a_limit_means_too_complex_and_says_which(inspect, behaviour, said):
    with pytest.raises(InvalidRequest) as caught:
        inspect(behaviour)
    assert caught.value.code == "thing_too_complex"
    assert said in caught.value.errors[0].message


def test_a_child_that_hangs_is_killed_in_time(inspect):
    begun = time.monotonic()
    with pytest.raises(InvalidRequest) as caught:
        inspect("hang", timeout_s=0.5)
    assert caught.value.code == "thing_too_complex"
    assert "0.5 s" in caught.value.errors[0].message
    assert time.monotonic() - begun < 5
