"""Every public golden case ends as it is on record: a match, or a deviation with its quirk's number."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.golden.__main__ import label, main
from tests.golden.common import GOLDEN_DIRECTORY, case_id, cases_of
from tests.golden.kinds import CHECKS

VERDICTS: dict[str, str] = json.loads((Path(__file__).parent / "verdicts.json").read_text())
DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"


@pytest.mark.parametrize(("case", "arrays"), cases_of(*CHECKS), ids=case_id)
def test_case_ends_as_it_is_on_record(case, arrays):
    verdict = CHECKS[case["kind"]](case, arrays)
    assert label(verdict) == VERDICTS[case["id"]], str(verdict)


def test_every_case_is_on_record():
    paths = sorted(GOLDEN_DIRECTORY.glob("*.json"))
    cases = [case["id"] for path in paths for case in json.loads(path.read_text())["cases"]]
    assert len(cases) == len(VERDICTS) == 303
    assert set(cases) == VERDICTS.keys()
    assert "fail" not in VERDICTS.values()


def test_the_documentation_has_the_counts():
    rows = [line.split("|") for line in DOCUMENTATION.read_text().splitlines() if line.startswith("| ")]
    listed = {cells[1].strip(): cells[2].strip() for cells in rows}
    assert {key: listed.get(key) for key in COUNTS} == {key: str(count) for key, count in COUNTS.items()}


COUNTS = Counter(VERDICTS.values())


def test_what_cannot_be_read_or_checked_fails_and_the_rest_is_run(tmp_path, capsys):
    good = json.loads((GOLDEN_DIRECTORY / "Q_edge_cases.json").read_text())
    good["cases"] = good["cases"][:2]
    (tmp_path / "a.json").write_text(json.dumps(good))
    (tmp_path / "b.json").write_text('{"meta"')
    (tmp_path / "c.json").write_text('{"meta": {}, "cases": [{"id": "new", "kind": "unheard"}, 5]}')
    assert main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 1 + 2 + 1
    assert lines[2].startswith("b.json  ")
    assert "fail" in lines[2]
    assert "no check for kind 'unheard'" in lines[3]
    assert lines[4].startswith("c.json[1]  ")
    assert lines[-1].startswith("5 cases in ")
    assert "3 fail" in lines[-1]


def test_directory_without_cases_is_a_mistake(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no cases" in capsys.readouterr().err


def test_cases_that_pass_exit_with_zero(tmp_path, capsys):
    good = json.loads((GOLDEN_DIRECTORY / "Q_edge_cases.json").read_text())
    good["cases"] = good["cases"][:2]
    (tmp_path / "a.json").write_text(json.dumps(good))
    assert main([str(tmp_path)]) == 0
    assert ", 0 fail" in capsys.readouterr().out.replace(": ", ", ")
