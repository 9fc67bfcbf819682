"""Encrypt the secrets of webhooks in the database with the newest key of DRIFTLINE_ENCRYPTION_KEYS.

It may run while the service does, and again after each new key.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from app.db.schema import schema_fault
from app.db.sealing import new_key
from app.db.session import Database, reason
from app.engine.webhooks.secrets import count_secrets, seal_secrets
from app.start import load_settings

REFUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="driftline secrets", description=__doc__)
    parser.add_argument("--new-key", action="store_true", help="print a new key for the setting instead")
    if parser.parse_args(arguments).new_key:
        sys.stdout.write(f"{new_key()}\n")
        return 0
    settings = load_settings()
    sealer = settings.sealer
    if not sealer.has_keys:
        return _refuse(
            "DRIFTLINE_ENCRYPTION_KEYS is not set: make a key with `driftline secrets --new-key`, and give "
            "it to this command and to all processes of the service"
        )
    database = Database(settings.resolved_database_url)
    try:
        fault = schema_fault(database)
        if fault is not None:
            return _refuse(fault)
        with database.transaction() as session:
            sealed = seal_secrets(session, sealer)
            closed = count_secrets(session, sealer).closed
    except SQLAlchemyError as error:
        return _refuse(f"the database does not answer: {reason(error)}")
    finally:
        database.dispose()
    sys.stdout.write(f"{sealed} secrets of webhooks were encrypted with the newest key\n")
    if closed:
        return _refuse(
            f"{closed} are encrypted with a key that DRIFTLINE_ENCRYPTION_KEYS does not have: add that key, "
            "or give these webhooks new secrets (POST /v1/webhooks/{id}/rotate)"
        )
    return 0


def _refuse(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return REFUSED


if __name__ == "__main__":
    sys.exit(main())
