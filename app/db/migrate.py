"""Bring the database's schema up to date: `python -m app.db.migrate`."""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config

import migrations
from app.start import load_settings


def alembic_config(database_url: str) -> Config:
    """Return Alembic's configuration for a database."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    return config


def migrate(database_url: str) -> None:
    """Upgrade the schema to the newest revision; running it again changes nothing."""
    command.upgrade(alembic_config(database_url), "head")


if __name__ == "__main__":
    migrate(load_settings().resolved_database_url)
    sys.stdout.write("the database schema is up to date\n")
