"""What is in use when the database is disposed of is closed when it comes back, not forgotten."""

from sqlalchemy import text

from app.db.session import Database


def test_a_connection_that_comes_back_after_the_end_is_closed(postgres_url):
    database = Database(postgres_url)
    with database.reading() as session:
        session.execute(text("SELECT 1"))
        connection = session.connection().connection.dbapi_connection
        database.dispose()
        assert not connection.closed
    assert connection.closed


def test_a_disposed_database_goes_on_with_new_connections(postgres_url):
    database = Database(postgres_url)
    database.dispose()
    with database.reading() as session:
        assert session.scalar(text("SELECT 1")) == 1
    database.dispose()
