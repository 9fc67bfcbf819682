"""The zygote by itself: its runners live as long as those who asked for them, and hear every signal."""

from __future__ import annotations

import signal

from app.engine.items.leases import Lease
from tests.waiting import until
from worker.protocol import LineReader, RunRequest, send
from worker.supervision.handle import ZygoteHandle

from .conftest import DEADLINE_S, FAKE_ZYGOTE, is_alive


def _request(desk, lease: Lease) -> dict:
    request = RunRequest(
        lease=lease,
        lease_s=desk.settings.lease_s,
        database_url=desk.settings.resolved_database_url,
        blobs=desk.settings.blobs,
        memory_bytes=None,
    )
    return {"run": request.to_json()}


def _end(connection) -> int | str | None:
    """Wait until the runner has done its item, or has ended; return "done" or its exit status."""
    connection.settimeout(DEADLINE_S)
    reader = LineReader()
    while data := connection.recv(65536):
        for message in reader.feed(data):
            return message.get("exit", "done")
    return None


def test_a_runner_dies_when_its_supervisor_closes_the_socket(desk, shared_zygote):
    desk.job_of(["hang"])
    with shared_zygote.connect() as connection:
        send(connection, _request(desk, desk.claim()))
        runner = desk.runner()
        assert is_alive(runner)
    until(lambda: not is_alive(runner), "the runner to die")


def test_the_other_runners_of_a_zygote_live_on(desk, shared_zygote):
    desk.job_of(["hang"], ["work"])
    with shared_zygote.connect() as other:
        with shared_zygote.connect() as connection:
            send(connection, _request(desk, desk.claim()))
            runner = desk.runner()
            send(other, _request(desk, desk.claim()))
            until(lambda: len(desk.marks("started")) == 2, "both runners")
        until(lambda: not is_alive(runner), "the first runner to die")
        desk.enough()
        assert _end(other) == "done"


def test_the_exit_status_names_the_signal_or_the_code(desk, shared_zygote):
    desk.job_of(["be_killed"], ["leave"])
    statuses = []
    for _ in range(2):
        with shared_zygote.connect() as connection:
            send(connection, _request(desk, desk.claim()))
            statuses.append(_end(connection))
    assert statuses == [-signal.SIGSEGV, 3]


def test_a_sigterm_that_comes_before_the_runner_listens_is_not_lost(desk, shared_zygote):
    job = desk.job_of(["work"])
    with shared_zygote.connect() as connection:
        request = _request(desk, desk.claim())
        send(connection, request)
        send(connection, {"signal": signal.SIGTERM})
        assert _end(connection) == 0
    assert desk.requeued(job) == ["worker_shutdown"]
    assert (desk.item(job).state, desk.item(job).attempt) == ("queued", 0)


def test_runners_die_with_their_zygote_and_nothing_is_printed(make_desk, capfd):
    zygote = ZygoteHandle(FAKE_ZYGOTE)
    try:
        desk = make_desk(zygote)
        desk.job_of(["hang"], ["hang"])
        with zygote.connect() as one, zygote.connect() as other:
            for connection in (one, other):
                send(connection, _request(desk, desk.claim()))
            until(lambda: len(desk.marks("started")) == 2, "both runners")
            runners = [int(path.name.rpartition(".")[2]) for path in desk.marks("started")]
            zygote.close()
            assert zygote._process.returncode == 0
            until(lambda: not any(map(is_alive, runners)), "the runners to die")
    finally:
        zygote.close()
    assert capfd.readouterr().err == ""
