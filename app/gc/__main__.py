"""Remove what the settings keep no longer, and files that nothing names. Workers do so, too."""

from __future__ import annotations

import argparse
import sys
import time

from app.db.blobs import open_blobs
from app.db.session import Database
from app.engine.retention import clean, removals
from app.engine.storage import UnusedBlobs
from app.start import load_settings, start_log

# Between two looks for unused files: a job that takes one over at the first look is seen at the second.
_BETWEEN_LOOKS_S = 5.0


def main() -> int:
    """Print what goes, or would go; return 0."""
    parser = argparse.ArgumentParser(prog="driftline gc", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="remove nothing, and say what would be")
    wanted = parser.parse_args()
    settings = load_settings()
    start_log(settings)
    database = Database(settings.resolved_database_url)
    unused = UnusedBlobs(database, open_blobs(settings.blobs))
    try:
        if wanted.dry_run:
            with database.reading() as session:
                planned = list(removals(session, settings))
            files = unused.find()
        else:
            planned = clean(database, settings)
            unused.look()
            time.sleep(_BETWEEN_LOOKS_S)
            files = unused.look()
    finally:
        database.dispose()
    for one in planned:
        sys.stdout.write(f"{one.what:<10} {one.id}  {one.size_bytes:>12} bytes  {one.reason}\n")
    for key, size in files.items():
        sys.stdout.write(f"{'file':<10} {key}  {size:>12} bytes  nothing names it\n")
    verb = "would be removed" if wanted.dry_run else "were removed"
    total = sum(files.values())
    sys.stdout.write(f"{len(planned)} things and {len(files)} files ({total} bytes) {verb}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
