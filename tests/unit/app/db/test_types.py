from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from app.db.migrate import migrate
from app.db.session import Database
from app.db.tables import Project
from app.db.types import has_text

NAMES = ("Plain", "50% off", "a_b", "aXb", "a/b")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'd.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    migrate(url)
    database = Database(url)
    with database.transaction() as session:
        session.add_all(Project(name=name) for name in NAMES)
    yield database
    database.dispose()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", {"Plain"}),
        ("LAI", {"Plain"}),
        ("%", {"50% off"}),
        ("a_b", {"a_b"}),
        ("A/B", {"a/b"}),
        ("a", {"Plain", "a_b", "aXb", "a/b"}),
        ("nowhere", set()),
    ],
)
def test_a_text_is_found_as_it_is_in_any_case(database: Database, text: str, found: set[str]) -> None:
    with database.reading() as session:
        names = session.scalars(select(Project.name).where(has_text(Project.name, text))).all()
    assert set(names) - {"default"} == found
