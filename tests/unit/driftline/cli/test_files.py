from __future__ import annotations

import pytest

from driftline import InvalidInput
from driftline.cli.files import read_json, set_all


def test_values_are_set_by_pointers():
    job = {"evaluate": {"t_inference": [1, 2]}, "finetune": None}
    settings = [
        "/rpu_config/overrides/forward/out_noise=0.08", "/evaluate/t_inference/1=3600", "/name=two words", "/seed=7",
        "/finetune/epochs=2", '/tags=["a"]', "/layers/a~1b=null", "/text==",
    ]  # fmt: skip
    set_all(job, settings)
    assert job == {
        "rpu_config": {"overrides": {"forward": {"out_noise": 0.08}}}, "evaluate": {"t_inference": [1, 3600]},
        "name": "two words", "seed": 7, "finetune": {"epochs": 2}, "tags": ["a"], "layers": {"a/b": None}, "text": "=",
    }  # fmt: skip


@pytest.mark.parametrize(
    "setting", ["seed=1", "/seed", "", "/name/first=1", "/tags/9=1", "/tags/x=1", "/name/a/b=1"]
)
def test_a_setting_that_cannot_be_is_told(setting):
    with pytest.raises(InvalidInput, match="--set"):
        set_all({"name": "x", "tags": ["a"]}, [setting])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "holds a list"),
        (b"\xff", "UTF-8"),
        (b'{"a":' * 100_000, "not JSON|nested too deeply"),
    ],
)
def test_a_file_that_is_no_json_object_is_told(tmp_path, content, told):
    file = tmp_path / "job.json"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=told):
        read_json(str(file))
    with pytest.raises(InvalidInput, match="there is no file"):
        read_json(str(tmp_path / "gone"))
