"""`python -m tests.golden DIR [--counts FILE]`: run every case of a directory, one line each.

Exits with 1 if a case fails, or if the numbers of matches and deviations per quirk are not those of FILE.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from tests.golden.common import Case, Section, Status, Verdict, fail, load_sections
from tests.golden.kinds import CHECKS


def _run(case: Case, section: Section) -> Verdict:
    check = CHECKS.get(case["kind"])
    if check is None:
        return fail(f"no check for kind {case['kind']!r}")
    try:
        return check(case, section.arrays)
    except Exception as error:  # noqa: BLE001 - a case that crashes is a failed case, and the others still run
        return fail(f"{type(error).__name__}: {error}")


def _label(verdict: Verdict) -> str:
    return f"quirk {verdict.quirk}" if verdict.status is Status.DEVIATES else verdict.status.value


def main(arguments: list[str]) -> int:
    """Run all cases of the directory named; print id, figure, tolerance and verdict, then the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--counts", type=Path, help="JSON file with the counts to expect")
    options = parser.parse_args(arguments)
    sections = load_sections(options.directory)
    if not any(section.cases for section in sections):
        sys.stderr.write(f"no cases in {options.directory}\n")
        return 2
    counts: Counter[str] = Counter()
    started = time.monotonic()
    for section in sections:
        for case in section.cases:
            verdict = _run(case, section)
            counts[_label(verdict)] += 1
            sys.stdout.write(f"{case['id']}  {verdict}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{counts.total()} cases in {time.monotonic() - started:.0f} s\n")
    ordered = dict(sorted(counts.items(), key=lambda item: (len(item[0]), item[0])))
    sys.stdout.writelines(f"{label}: {count}\n" for label, count in ordered.items())
    if options.counts and json.loads(options.counts.read_text()) != ordered:
        sys.stdout.write(f"the counts differ from {options.counts}\n")
        return 1
    return 1 if counts[Status.FAIL.value] else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
