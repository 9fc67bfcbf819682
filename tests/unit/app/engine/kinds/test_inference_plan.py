from __future__ import annotations

from typing import Any

from app.engine.kinds.inference.plan import Ranges, Sizes, plan
from simulator.config.job import JobSpec


def spec(*variants: str, repeats: int = 4, epochs: int = 2) -> JobSpec:
    evaluate = {"variants": list(variants), "repeats": repeats, "t_inference": [1.0, 60.0]}
    return JobSpec.model_validate({"evaluate": evaluate, "finetune": {"epochs": epochs}})


def planned(*variants: str, ranges: Ranges | None = None, verified: bool = True) -> dict[str, Any]:
    items = plan(
        spec(*variants), Sizes(train=100, test=10), ranges or Ranges(), verified=verified, repeats_per_shard=3
    )
    return {item.key: item for item in items}


def test_a_full_job_trains_before_it_evaluates() -> None:
    items = planned("digital", "direct", "hwa", verified=False)
    assert {key: item.needs for key, item in items.items()} == {
        "verify": [],
        "finetune:hwa": ["verify"],
        "baseline:digital": ["verify"],
        "baseline:hwa": ["finetune:hwa"],
        "evaluate:direct:0": ["verify"],
        "evaluate:direct:3": ["verify"],
        "evaluate:hwa:0": ["finetune:hwa"],
        "evaluate:hwa:3": ["finetune:hwa"],
        "describe:hwa": ["finetune:hwa"],
    }


def test_the_tiles_of_one_variant_are_described_once_its_ranges_are_known() -> None:
    ranges = Ranges(enabled=True, learned=False)
    assert planned("direct", "control", ranges=ranges)["describe:direct"].needs == ["calibrate:direct"]
    assert [key for key in planned("digital", "control") if key.startswith("describe")] == [
        "describe:control"
    ]
    assert not any(key.startswith("describe") for key in planned("digital"))


def test_progress_counts_sample_forwards() -> None:
    items = planned("direct", "hwa")
    assert items["finetune:hwa"].progress_total == 200
    assert items["baseline:digital"].progress_total == 10
    assert items["evaluate:direct:0"].progress_total == 3 * 2 * 10
    assert items["evaluate:direct:3"].progress_total == 1 * 2 * 10


def test_direct_is_calibrated_and_hwa_only_when_its_ranges_are_not_learned() -> None:
    learned = planned("direct", "hwa", ranges=Ranges(enabled=True, learned=True))
    assert "calibrate:hwa" not in learned
    assert learned["evaluate:direct:0"].needs == ["calibrate:direct"]
    fixed = planned("direct", "hwa", ranges=Ranges(enabled=True, learned=False))
    assert fixed["calibrate:hwa"].needs == ["finetune:hwa"]
    assert fixed["evaluate:hwa:0"].needs == ["calibrate:hwa"]


def test_shards_cover_every_repeat_once() -> None:
    items = plan(spec("direct", repeats=11), Sizes(1, 1), Ranges(), verified=True, repeats_per_shard=4)
    ranges = [item.payload["repeats"] for item in items if item.kind == "evaluate"]
    assert ranges == [[0, 4], [4, 8], [8, 11]]


def test_cells_count_analog_variants_only() -> None:
    assert spec("digital", "direct", "hwa").cells == 2 * 4 * 2


def test_many_repeats_make_no_more_than_sixteen_shards():
    items = plan(spec("direct", repeats=150), Sizes(1, 1), Ranges(), verified=True, repeats_per_shard=5)
    shards = [item.payload["repeats"] for item in items if item.kind == "evaluate"]
    assert len(shards) == 15
    assert shards[0] == [0, 10]
    assert shards[-1] == [140, 150]
