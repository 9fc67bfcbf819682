"""What operators are given beside the service must speak of metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.monitoring.metrics import ApiMetrics, WorkerMetrics

DEPLOY = Path(__file__).parents[4] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
BOARD = DEPLOY / "grafana" / "driftline.json"


def expressions():
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    panels = json.loads(BOARD.read_text())["panels"]
    return [rule["expr"] for rule in rules] + [one["expr"] for panel in panels for one in panel["targets"]]


def families(client):
    """The names of all metrics that an API and a worker serve."""
    names = set()
    for registry in (ApiMetrics().registry, WorkerMetrics().registry):
        names |= {sample for family in registry.collect() for sample in _samples(family)}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        names |= _samples(family)
    return names


def _samples(family):
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {family.name + suffix for suffix in suffixes.get(family.type, [""])}


def test_alerts_and_board_use_no_metric_that_is_not_served(client):
    used = {name for one in expressions() for name in re.findall(r"driftline_\w+", one)}
    assert len(used) > 10
    assert used <= families(client)


def test_prometheus_takes_the_alerts():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on this machine")
    done = subprocess.run(
        [promtool, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_of_the_board_lie_side_by_side():
    places = [panel["gridPos"] for panel in json.loads(BOARD.read_text())["panels"]]
    assert len({(one["x"], one["y"]) for one in places}) == len(places)
    assert all(one["x"] + one["w"] <= 24 for one in places)
