"""Jobs whose chips come in waves, until the mean of their metric is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scipy.stats import norm
from sqlalchemy import select

from app.db.tables import Cell, Event, Job, Speed, WorkItem
from app.engine.items import claims, endings
from app.engine.items.leases import Lease
from app.engine.items.taking_over import repeats_of
from app.engine.kinds import next_round
from app.engine.kinds.analyses.plan import places_of
from app.engine.kinds.analyses.rows import save_row
from app.engine.kinds.inference import results
from app.engine.retention import clean
from app.engine.specification import spec_of
from app.settings import Settings
from simulator.config.evaluation import RepeatsUntil
from tests.unit.app.jobs.submissions import add_description, body, codes, database_of, fault, submit
from tests.unit.app.jobs.test_dry_run_api import MEASURED

TIMES = [1, 3600]
UNTIL = {"until_ci95": 0.05, "at_least": 4, "at_most": 30}
Right = Callable[[int], int]


def wavering(repeat: int) -> int:
    """Right answers of ten of a chip: half widths 0.144, 0.060 and 0.035 after 4, 8 and 16 chips."""
    return 8 + repeat % 2


def job(client: Any, repeats: Any = None, **changes: Any) -> dict[str, Any]:
    evaluate = {
        "t_inference": TIMES,
        "repeats": UNTIL if repeats is None else repeats,
        "variants": ["digital", "direct"],
    }
    return body(client, evaluate=evaluate, **changes)


def leases(client: Any, job_id: str) -> Iterator[Lease]:
    while True:
        with database_of(client).transaction() as session:
            lease = claims.claim(session, owner="w", lease_s=60, job_id=job_id)
        if lease is None:
            return
        yield lease


def work(client: Any, job_id: str, right: Right = wavering, *, kill: bool = False) -> list[str]:
    """Do what workers would do; return the keys of the items that were begun."""
    begun: list[str] = []
    for lease in leases(client, job_id):
        begun.append(lease.key)
        with database_of(client).transaction() as session:
            if lease.kind == "evaluate":
                done = results.finished_cells(session, job_id, lease.payload["variant"])
                for place in [
                    (n, t) for ends in repeats_of(lease.payload) for n in range(*ends) for t in TIMES
                ]:
                    if place not in done:
                        counts = {"correct": right(place[0]), "total": 10, "loss_sum": 1.0}
                        results.save_cell(
                            session, lease, variant=lease.payload["variant"], repeat=place[0],
                            t_inference=place[1], counts=counts, progress_done=0,
                        )  # fmt: skip
            elif lease.kind == "analyse":
                spec = spec_of(session.get_one(Job, job_id))
                [asked] = spec.analyses
                for setting in lease.payload["settings"]:
                    for chip, t in places_of(asked, spec, setting):
                        counts = {"correct": 9 - chip % 2, "total": 10, "loss_sum": 1.0}
                        save_row(
                            session, lease, setting=setting["key"], coordinates=setting["coordinates"],
                            repeat=chip, t_inference=t, counts=counts, progress_done=0,
                        )  # fmt: skip
            elif lease.kind == "baseline":
                counts = {"correct": 10, "total": 10, "loss_sum": 1.0}
                results.save_baseline(session, lease, variant="digital", counts=counts)
        if kill:
            with pytest.raises(KeyboardInterrupt), database_of(client).transaction() as session:
                endings.succeed(session, lease, next_round=next_round)
                raise KeyboardInterrupt
        with database_of(client).transaction() as session:
            endings.succeed(session, lease, next_round=next_round)
    return begun


def cells(client: Any, job_id: str) -> list[tuple[str, int, float, float | None]]:
    with database_of(client).reading() as session:
        query = select(Cell.variant, Cell.repeat, Cell.t_inference, Cell.metric).where(Cell.job_id == job_id)
        return sorted(tuple(row) for row in session.execute(query))


def seen(client: Any, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
    return found


def events(client: Any, job_id: str, kind: str) -> list[dict[str, Any]]:
    with database_of(client).reading() as session:
        query = select(Event.data).where(Event.job_id == job_id, Event.type == kind).order_by(Event.seq)
        return list(session.scalars(query))


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "killed while rounds end"])
def test_a_job_ends_with_the_chips_that_its_rule_says(client, kill):
    job_id = submit(client, job(client))
    first = seen(client, job_id)["progress"]["total"]
    work(client, job_id, kill=kill)
    ended = seen(client, job_id)
    assert ended["state"] == "succeeded"
    assert [one[1] for one in cells(client, job_id)][::2] == list(range(16))
    assert ended["progress"]["done"] == ended["progress"]["total"] > first
    assert len(events(client, job_id, "job.round")) == 2
    assert "not_known_well_enough" not in {one["code"] for one in ended["warnings"]}

    fixed = submit(client, job(client, 16))
    work(client, fixed)
    assert cells(client, fixed) == cells(client, job_id)


def test_the_answer_has_an_interval_that_the_headline_names(client):
    job_id = submit(client, job(client))
    assert client.get(f"/v1/jobs/{job_id}/results").json()["series"] == []
    work(client, job_id)
    [series] = client.get(f"/v1/jobs/{job_id}/results").json()["series"]
    for point in series["points"]:
        assert point["repeats"] == 16
        (low, high), (least, most) = point["ci95"], point["ci95_adaptive"]
        assert least < low < high < most
        assert (most - least) / 2 <= UNTIL["until_ci95"]
        assert point["goal_reached"] is True
    summary = client.get(f"/v1/jobs/{job_id}/summary").json()
    assert f"{100 * least:.1f} to {100 * most:.1f} over 16 chips" in summary["headline"]
    assert (
        "Chips came in waves until the mean was known to ± 5 points; 16 chips were enough."
        in summary["sentences"]
    )
    table = client.get(f"/v1/jobs/{job_id}/results?format=csv").text
    assert str(least) in table

    fixed = submit(client, job(client, 16))
    work(client, fixed)
    [series] = client.get(f"/v1/jobs/{fixed}/results").json()["series"]
    assert {point["ci95_adaptive"] for point in series["points"]} == {None}


def test_a_job_that_never_knows_enough_ends_at_the_most_and_says_so(client):
    job_id = submit(client, job(client, {**UNTIL, "until_ci95": 1e-6, "at_most": 10}))
    work(client, job_id)
    assert len(cells(client, job_id)) == 10 * len(TIMES)
    [warning] = [one for one in seen(client, job_id)["warnings"] if one["pointer"] == "/evaluate/repeats"]
    assert warning["code"] == "not_known_well_enough"
    assert "after 10 chips" in warning["message"]
    [series] = client.get(f"/v1/jobs/{job_id}/results").json()["series"]
    assert {point["goal_reached"] for point in series["points"]} == {False}
    said = client.get(f"/v1/jobs/{job_id}/summary").json()["sentences"]
    assert any("stopped at 10 chips, the most that it allows" in one for one in said)
    for address in (f"/jobs/{job_id}", f"/v1/jobs/{job_id}/report"):
        page = client.get(address).text
        assert page.count("wider than the goal</span>") == len(TIMES)
        assert "at 10 chips the job stops in any case" in page


def test_only_the_place_that_is_judged_has_a_goal(client):
    on = {"variant": "direct", "t_inference": TIMES[1]}
    job_id = submit(client, job(client, {**UNTIL, "on": on}))
    work(client, job_id)
    answer = client.get(f"/v1/jobs/{job_id}/results").json()
    assert answer["repeats_until"] == {**UNTIL, "on": on}
    assert [point["goal_reached"] for point in answer["series"][0]["points"]] == [None, True]


def test_lifetimes_have_intervals_that_stay_valid(client):
    job_id = submit(client, job(client))
    work(client, job_id)
    [life] = client.get(f"/v1/jobs/{job_id}/lifetime?accuracy=0.85").json()["series"]
    waves = len(RepeatsUntil.model_validate(UNTIL).waves)
    for point in life["yield"]:
        (low, high), (least, most) = point["ci95"], point["ci95_adaptive"]
        assert least < low < high < most
        z = norm.isf(0.05 / (2 * waves))
        n, share = 16, point["share"]
        # Both ends of Wilson's interval are where the share lies z standard errors away.
        assert abs(share - least) == pytest.approx(z * (least * (1 - least) / n) ** 0.5)
        assert abs(share - most) == pytest.approx(z * (most * (1 - most) / n) ** 0.5)
    assert life["time_to_threshold_s"]["ci95_adaptive"] is not None

    fixed = submit(client, job(client, 16))
    work(client, fixed)
    [life] = client.get(f"/v1/jobs/{fixed}/lifetime?accuracy=0.85").json()["series"]
    assert {point["ci95_adaptive"] for point in life["yield"]} == {None}
    assert life["time_to_threshold_s"]["ci95_adaptive"] is None


def test_jobs_in_waves_are_compared_by_the_interval_that_stays_valid(client):
    job_id, fixed = submit(client, job(client)), submit(client, job(client, 16, name="fixed"))
    for one in (job_id, fixed):
        work(client, one)
    compared = client.get("/v1/compare", params={"job": [fixed, job_id]}).json()
    for point in compared["points"]:
        assert point["points"][job_id]["ci95_adaptive"] is not None
        assert point["points"][fixed]["ci95_adaptive"] is None
        [difference] = point["differences"]
        assert difference["ci95_adaptive"] is not None
    assert "the one that stays valid" in client.get("/compare", params={"job": [fixed, job_id]}).text


@pytest.mark.parametrize("known", [4, 6, 12, 30])
def test_known_chips_of_its_waves_are_taken_over_and_no_others(client, known):
    request = job(client, known)
    earlier = submit(client, request)
    work(client, earlier)
    add_description(client, earlier)
    request["evaluate"]["repeats"] = UNTIL
    job_id = submit(client, request)
    begun = work(client, job_id)
    ended = seen(client, job_id)
    assert ended["state"] == "succeeded"
    assert ended["cached_from"] == [earlier]
    assert ended["progress"]["done"] == ended["progress"]["total"]
    assert len(cells(client, job_id)) == 16 * len(TIMES)
    computed = [int(key.rpartition(":")[2]) for key in begun if key.startswith("evaluate")]
    assert all(start >= known or start < known < 16 for start in computed)
    assert bool(begun) == (known < 16)


def test_what_belongs_to_files_that_retention_removed_is_computed_again_and_chips_are_not(client):
    request = job(client, 16)
    earlier = submit(client, request)
    work(client, earlier)
    add_description(client, earlier)
    assert work(client, submit(client, request)) == []
    clean(database_of(client), Settings(keep_artifact_bytes=0))
    begun = work(client, submit(client, request))
    assert "baseline:digital" in begun
    assert not [key for key in begun if key.startswith("evaluate")]


def test_a_fresh_job_takes_no_wave_over(client):
    request = job(client, 30)
    work(client, submit(client, request))
    request["evaluate"]["repeats"] = UNTIL
    answer = client.post("/v1/jobs", json=request, headers={"Cache-Control": "no-cache"}).json()
    begun = work(client, answer["id"])
    assert len([key for key in begun if key.startswith("evaluate")]) >= 3
    assert seen(client, answer["id"])["cached_from"] == []


def test_analyses_begin_when_there_are_chips_enough(client):
    asked = {"type": "error_budget", "variants": ["direct"]}
    job_id = submit(client, job(client, analyses=[asked], rpu_config={"preset": "PCMExamplePreset"}))
    begun = work(client, job_id)
    kinds = [key.partition(":")[0] for key in begun]
    assert "analyse" in kinds
    assert "evaluate" not in kinds[kinds.index("analyse") :]
    with database_of(client).reading() as session:
        query = select(WorkItem.progress_total, WorkItem.payload).where(
            WorkItem.job_id == job_id, WorkItem.kind == "analyse"
        )
        assert all(total > 0 and payload["samples"] > 0 for total, payload in session.execute(query))
    assert seen(client, job_id)["state"] == "succeeded"


@pytest.mark.parametrize("kind", ["error_budget", "layer_sensitivity"])
def test_a_job_with_analyses_that_is_sent_again_starts_nothing(client, kind):
    request = job(client, analyses=[{"type": kind}], rpu_config={"preset": "PCMExamplePreset"})
    earlier = submit(client, request)
    begun = work(client, earlier)
    assert any(key.startswith("analyse") for key in begun)
    add_description(client, earlier)
    again = submit(client, request)
    assert work(client, again) == []
    ended = seen(client, again)
    assert (ended["state"], ended["cached_from"]) == ("succeeded", [earlier])
    assert ended["progress"]["done"] == ended["progress"]["total"]
    first, second = (client.get(f"/v1/jobs/{one}/analyses/{kind}").json() for one in (earlier, again))
    assert {**first, "job": None} == {**second, "job": None}


def test_an_extension_goes_on_from_the_chips_that_the_job_ended_with(client):
    job_id = submit(client, job(client))
    work(client, job_id)

    def extend(**more: Any) -> Any:
        return client.post(f"/v1/jobs/{job_id}/extend", json=more)

    assert codes(extend(repeats=16)) == {("", "nothing_to_add")}
    assert extend(t_inference=[60]).json()["spec"]["evaluate"]["repeats"] == 16
    longer = extend(repeats=20).json()
    assert longer["spec"]["evaluate"]["repeats"] == 20
    assert {chip for _, chip, *_ in cells(client, longer["id"])} == set(range(16))


def test_a_dry_run_prices_the_least_and_the_most(client, settings):
    with database_of(client).transaction() as session:
        session.add(Speed(hostname="h", threads=settings.threads_per_item, revision=1, measured=MEASURED))
    answer = client.post("/v1/jobs?dry_run=true", json=job(client)).json()
    assert answer["cells"] == 30 * len(TIMES)
    assert answer["at_least"]["cells"] == 4 * len(TIMES)
    assert 0 < answer["at_least"]["estimated_seconds"] < answer["estimated_seconds"]
    fixed = client.post("/v1/jobs?dry_run=true", json=job(client, 30)).json()
    assert fixed["at_least"] is None
    assert fixed["estimated_seconds"] == answer["estimated_seconds"]


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"at_least": 40}, "/evaluate/repeats/at_least", "invalid_value"),
        ({"until_ci95": 0}, "/evaluate/repeats/until_ci95", "greater_than"),
        ({"at_least": 1}, "/evaluate/repeats/at_least", "greater_than_equal"),
        ({"at_most": 10_001}, "/evaluate/repeats/at_most", "less_than_equal"),
        ({"til": 1}, "/evaluate/repeats/til", "unknown_field"),
        ({"on": {"variant": "hwa", "t_inference": 1}}, "/evaluate/repeats/on/variant", "not_evaluated"),
        ({"on": {"variant": "digital", "t_inference": 1}}, "/evaluate/repeats/on/variant", "not_evaluated"),
        (
            {"on": {"variant": "direct", "t_inference": 2}},
            "/evaluate/repeats/on/t_inference",
            "not_evaluated",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_where_it_stands(client, changes, pointer, code):
    answer = client.post("/v1/jobs", json=job(client, {**UNTIL, **changes}))
    assert answer.status_code == 422
    assert (pointer, code) in codes(answer)


def test_an_analysis_may_look_at_the_chips_that_there_are_in_any_case(client):
    asked = {"type": "error_budget", "repeats": 5}
    answer = client.post("/v1/jobs", json=job(client, analyses=[asked]))
    assert "sure to have 4 chips" in fault(answer, "/analyses/0/repeats")["message"]


def test_the_page_of_a_job_in_waves_offers_more_chips_than_it_has(client):
    job_id = submit(client, job(client))
    work(client, job_id)
    page = client.get(f"/jobs/{job_id}")
    assert page.status_code == 200
    assert 'name="repeats" min="16"' in page.text
    with database_of(client).reading() as session:
        assert session.get_one(Job, job_id).spec["evaluate"]["repeats"] == {**UNTIL, "on": None}
