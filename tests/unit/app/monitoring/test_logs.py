import json
import logging
import threading

from app.monitoring import logs

log = logging.getLogger("driftline.test")


def test_a_line_says_what_it_is_about_and_then_no_longer(configure_log, capsys):
    configure_log("text", "info")
    with logs.about(request="r1", job="j1"), logs.about(item="evaluate:hwa:0", attempt=2):
        log.info("it starts")
    log.info("alone")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("driftline.test: request r1, job j1, item evaluate:hwa:0, attempt 2: it starts")
    assert second.endswith("driftline.test: alone")


def test_as_json_each_line_is_an_object_with_its_ids(configure_log, capsys):
    configure_log("json", "info")
    with logs.about(request=None, job="j1", attempt=2):
        log.warning("a %s", "text with \n a line break")
    try:
        int("no number")
    except ValueError:
        log.exception("it failed")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert {name: first[name] for name in ("level", "logger", "message", "job", "attempt")} == {
        "level": "WARNING",
        "logger": "driftline.test",
        "message": "a text with \n a line break",
        "job": "j1",
        "attempt": 2,
    }
    assert "request" not in first
    assert second["message"] == "it failed"
    assert "ValueError: invalid" in second["traceback"]


def test_lines_below_the_level_are_left_out(configure_log, capsys):
    configure_log("text", "error")
    log.warning("nobody reads this")
    assert capsys.readouterr().err == ""


def test_what_another_thread_does_is_not_about_the_same(configure_log, capsys):
    configure_log("text", "info")
    with logs.about(job="j1"):
        other = threading.Thread(target=log.info, args=("from elsewhere",))
        other.start()
        other.join()
    assert "j1" not in capsys.readouterr().err
