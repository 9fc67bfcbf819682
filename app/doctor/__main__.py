"""`python -m app.doctor`: what is wrong with this deployment, as its settings describe it."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from app.doctor.checks import examine, worst
from app.doctor.findings import as_json, as_text, fault, ok, warning
from app.start import SettingsError, load_settings, strangers


def main() -> int:
    """Print the findings; return 1 where something does not work, else 0."""
    parser = argparse.ArgumentParser(prog="driftline doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    wanted = parser.parse_args()
    logging.disable(logging.WARNING)  # the findings say it
    unknown = [warning("settings", line, "correct the name") for line in strangers(os.environ)]
    try:
        settings = load_settings()
    except SettingsError as error:
        findings = [*(fault("settings", one, "correct it") for one in error.faults), *unknown]
    else:
        findings = [ok("settings", "they are well-formed"), *unknown, *examine(settings)]
    sys.stdout.write((as_json(findings) if wanted.json else as_text(findings)) + "\n")
    return worst(findings)


if __name__ == "__main__":
    sys.exit(main())
