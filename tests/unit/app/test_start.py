import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from app.settings import Settings
from app.start import faults_of, product_version, strangers, variable


def start(**environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
    return subprocess.run(
        [sys.executable, "-m", "worker"],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_process_with_wrong_settings_ends_with_every_fault_and_no_traceback():
    done = start(DRIFTLINE_PORT="http", DRIFTLINE_LEASE_S="-1", DRIFTLINE_LOG_FORMAT="xml")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name in ("DRIFTLINE_PORT='http'", "DRIFTLINE_LEASE_S='-1'", "DRIFTLINE_LOG_FORMAT='xml'"):
        assert name in done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"database_url": "mysql://host/db"}, "mysql is not supported"),
        ({"database_url": "no url"}, "DATABASE_URL is not the URL of a database"),
        ({"redis_url": "amqp://host"}, "REDIS_URL is not the URL of a broker"),
        ({"lease_s": 5.0, "heartbeat_s": 4.0}, "must be at least twice"),
        ({"port": 8000, "metrics_port": 8000}, "must differ"),
    ],
)
def test_settings_that_do_not_go_together_are_faults(changes, said):
    (fault,) = faults_of(Settings(**changes))
    assert said in fault


def test_settings_as_they_come_have_no_fault(tmp_path):
    assert list(faults_of(Settings(data_dir=tmp_path))) == []
    assert (
        list(faults_of(Settings(database_url="postgresql://user:pass@host/name", redis_url="rediss://h")))
        == []
    )


def test_a_file_in_place_of_the_data_folder_is_a_fault(tmp_path):
    (tmp_path / "file").touch()
    (fault,) = faults_of(Settings(data_dir=tmp_path / "file", database_url="postgresql://h/n"))
    assert "is not a folder" in fault


def test_a_misspelt_setting_is_named_with_the_one_that_was_meant():
    environment = {"DRIFTLINE_LAESE_S": "3", "DRIFTLINE_URL": "x", "DRIFTLINE_LEASE_S": "9", "PATH": "/bin"}
    (line,) = strangers(environment)
    assert "DRIFTLINE_LAESE_S" in line
    assert "did you mean DRIFTLINE_LEASE_S?" in line


def test_each_setting_has_the_variable_that_the_documents_name():
    assert variable("database_url") == "DATABASE_URL"
    assert variable("lease_s") == "DRIFTLINE_LEASE_S"


def test_the_version_is_the_products():
    assert product_version() == version("driftline")
