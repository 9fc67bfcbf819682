"""Many jobs while processes are killed at random moments: `python -m tests.acceptance.soak --jobs 1000`.

What was accepted must end, with the cells of an undisturbed job of the same seed, each recorded once. In the
second half nobody kills the API, and its memory, descriptors and connections must stay where they are.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.db.tables import Job
from app.settings import Settings
from driftline import Driftline
from driftline.resources.jobs import FINAL_STATES
from worker.local import LocalService

from .conftest import MODEL, children_of, kill, processes, runners_of, watched

SEEDS = 4  # jobs of equal seeds must find the same
_TARGETS = ("runner", "runner", "runner", "zygote", "worker", "api")
_ENDS_S = 600.0
_LOOK_S = 1.0


@dataclass
class Findings:
    """What a soak found.

    Attributes:
        accepted: ids of the jobs that were accepted, with their seeds.
        states: how many jobs ended in which state.
        kills: how many processes of which kind were killed.
        cells: what the jobs of each seed found.
        recorded: cells of each job in the database.
        endings: events of each job that say it succeeded.
        before: memory in MiB, descriptors and connections of the API after three quarters of the jobs.
        after: the same at the end.
        jobs_a_second: over the whole soak.
    """

    accepted: dict[str, int] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    cells: dict[int, list[Any]] = field(default_factory=dict)
    recorded: dict[str, int] = field(default_factory=dict)
    endings: dict[str, int] = field(default_factory=dict)
    before: tuple[float, int, int] = (0.0, 0, 0)
    after: tuple[float, int, int] = (0.0, 0, 0)
    jobs_a_second: float = 0.0

    def faults(self) -> list[str]:
        """Return what is not as promised."""
        found = []
        if set(self.states) != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.states)}")
        if sum(self.states.values()) != len(self.accepted):
            found.append(f"{len(self.accepted)} jobs were accepted and {sum(self.states.values())} ended")
        for seed, results in self.cells.items():
            if any(one != results[0] for one in results):
                found.append(f"jobs of seed {seed} found different cells")
        expected = {job: len(self.cells[seed][0]) for job, seed in self.accepted.items()}
        if self.recorded != expected:
            found.append("a cell was recorded twice, or not at all")
        if set(self.endings.values()) != {1}:
            found.append("a job succeeded twice, or did not say so")
        return found


def job_of(model: str, number: int) -> dict[str, Any]:
    """Return a small job; every fifth one is fine-tuned."""
    trains = number % 5 == 0
    job: dict[str, Any] = {
        "name": f"soak {number}",
        "model": model,
        "dataset": "builtin:mnist10k",
        "rpu_config": {"preset": "PCMExamplePreset"},
        "evaluate": {
            "t_inference": [1, 86400],
            "repeats": 3,
            "batch_size": 50,
            "max_samples": 50,
            "variants": ["digital", "direct", "hwa"] if trains else ["digital", "direct"],
        },
        "seed": seed_of(number),
    }
    if trains:
        job["finetune"] = {"epochs": 2, "batch_size": 32, "max_samples": 64}
    return job


def seed_of(number: int) -> int:
    """Return the seed of a job; those that are fine-tuned have seeds of their own."""
    return number % SEEDS + (SEEDS if number % 5 == 0 else 0)


@dataclass(frozen=True)
class Rhythm:
    """When something is killed.

    Attributes:
        seed: of the choice of what is killed, and when.
        pause_s: shortest and longest time between two kills.
    """

    seed: int
    pause_s: tuple[float, float]


def soak(
    service: LocalService, rhythm: Rhythm, *, jobs: int, say: Callable[[str], object] = lambda _: None
) -> Findings:
    """Submit jobs, kill processes meanwhile, and look at what came of it.

    Args:
        service: that is watched, so that what was killed is started again.
        rhythm: when something is killed.
        jobs: how many.
        say: is told how far it is.
    """
    findings, quiet, over = Findings(), threading.Event(), threading.Event()
    begun = time.monotonic()
    with Driftline(service.url, retries=20) as driftline:
        model = driftline.upload_model(MODEL)["id"]
        killer = threading.Thread(target=_kill_at_random, args=(service, rhythm, findings, quiet, over))
        killer.start()
        try:
            for number in range(jobs):
                accepted = driftline.submit(job_of(model, number), fresh=True)
                findings.accepted[accepted["id"]] = seed_of(number)
                if number == jobs // 2:
                    _await_end(service, len(findings.accepted), say)
                    quiet.set()  # from now on the API lives
                if number == 3 * jobs // 4:
                    _await_end(service, len(findings.accepted), say)
                    findings.before = _footprint(service, driftline)
            _await_end(service, len(findings.accepted), say)
            findings.after = _footprint(service, driftline)
        finally:
            over.set()
            killer.join()
        findings.jobs_a_second = jobs / (time.monotonic() - begun)
        _look(driftline, findings)
    return findings


def _kill_at_random(
    service: LocalService, rhythm: Rhythm, findings: Findings, quiet: threading.Event, over: threading.Event
) -> None:
    chance = random.Random(rhythm.seed)  # noqa: S311 - it chooses victims
    while not over.wait(chance.uniform(*rhythm.pause_s)):
        target = chance.choice(_TARGETS)
        workers = sorted(name for name in service._children if name.startswith("worker"))
        if target == "api" and quiet.is_set():
            continue
        victims = _victims(service, target, service.process_id(chance.choice(workers)))
        if victims:
            kill(victims[0])
            findings.kills[target] += 1


def _victims(service: LocalService, target: str, worker: int) -> list[int]:
    match target:
        case "runner":
            return runners_of(worker)
        case "zygote":
            return [pid for pid in children_of(worker) if _is_zygote(pid)]
        case "worker":
            return [worker]
        case _:
            return [service.process_id("api")]


def _is_zygote(pid: int) -> bool:
    return any(one == pid and "worker.supervision.zygote" in command for one, _, command in processes())


def _await_end(service: LocalService, jobs: int, say: Callable[[str], object]) -> None:
    """Wait until all jobs have ended; it is the time without any end that must not be long."""
    engine = sa.create_engine(service._settings.resolved_database_url)
    query = sa.select(sa.func.count()).select_from(Job).where(Job.state.not_in(FINAL_STATES))

    def open_jobs() -> int:
        with engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    least, since = jobs + 1, time.monotonic()
    try:
        while (left := open_jobs()) > 0:
            if left < least:
                least, since = left, time.monotonic()
                if left % 50 == 0:
                    say(f"{jobs - left} of {jobs} jobs have ended")
            if time.monotonic() - since > _ENDS_S:
                raise AssertionError(f"no job has ended in {_ENDS_S:.0f} s; {left} are open")
            time.sleep(_LOOK_S)
    finally:
        engine.dispose()
    say(f"{jobs} jobs have ended")


def _footprint(service: LocalService, driftline: Driftline) -> tuple[float, int, int]:
    """Return resident memory in MiB, descriptors and database connections of the API."""
    driftline.jobs(limit=50)
    pid = service.process_id("api")
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return resident / 1024, descriptors, _connections(service._settings)


def _connections(settings: Settings) -> int:
    engine = sa.create_engine(settings.resolved_database_url)
    try:
        if engine.dialect.name != "postgresql":
            return 0
        with engine.connect() as connection:
            count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            return int(connection.execute(sa.text(count)).scalar_one())
    finally:
        engine.dispose()


def _look(driftline: Driftline, findings: Findings) -> None:
    for job, seed in findings.accepted.items():
        state = driftline.job(job)["state"]
        findings.states[state if state in FINAL_STATES else "open"] += 1
        cells = driftline.results(job, cells=True)["cells"]
        findings.recorded[job] = len(cells)
        findings.cells.setdefault(seed, []).append(cells)
        types = [event["type"] for event in driftline.events(job, follow=False)]
        findings.endings[job] = types.count("job.succeeded")


def main() -> int:
    """Soak a service of its own, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database-url", help="SQLite by default")
    parser.add_argument("--redis-url", help="an embedded broker by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = soak_settings(
            data_dir=Path(folder), database_url=asked.database_url, redis_url=asked.redis_url
        )
        with LocalService(settings, workers=2) as service, watched(service):
            found = soak(service, Rhythm(asked.seed, (4.0, 16.0)), jobs=asked.jobs, say=_say)
    _say(f"{len(found.accepted)} jobs, {found.jobs_a_second:.2f} a second; killed: {dict(found.kills)}")
    for when, (resident, descriptors, connections) in (("at 3/4", found.before), ("at the end", found.after)):
        _say(f"API {when}: {resident:.0f} MiB, {descriptors} descriptors, {connections} connections")
    for fault in found.faults():
        _say(f"FAULT: {fault}")
    return 1 if found.faults() else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def soak_settings(**changes: Any) -> Settings:
    """Return settings under which a service recovers quickly."""
    return Settings(
        **{
            "port": 0, "threads_per_item": 1, "worker_concurrency": 1, "lease_s": 4.0, "heartbeat_s": 1.0,
            "sweep_s": 1.0, "cancel_grace_s": 3.0, "max_attempts": 20, **changes,
        }
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
