"""Column types and SQL functions that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, Dialect, Double, literal
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

# An absent value is SQL NULL, never the JSON text "null".
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite stores it without an offset, so one is put on when reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse moments without an offset; store UTC."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time needs a UTC offset")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class database_now_s(FunctionElement[float]):  # noqa: N801 - reads as the SQL function that it is
    """The database server's clock in seconds since 1970: the one clock that all workers share."""

    type: TypeEngine[float] = Double()
    inherit_cache = True


@compiles(database_now_s, "sqlite")
def _sqlite_now(element: database_now_s, compiler: SQLCompiler, **options: Any) -> str:
    del element, compiler, options
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now_s, "postgresql")
def _postgresql_now(element: database_now_s, compiler: SQLCompiler, **options: Any) -> str:
    del element, compiler, options
    return "(extract(epoch from clock_timestamp())::double precision)"


class has_text(FunctionElement[bool]):  # noqa: N801 - reads as the SQL function that it is
    """Whether a column has a text somewhere, in upper or lower case (of ASCII alone on SQLite).

    SQLite's LIKE heeds no case, and takes half the time without `lower`.
    """

    type: TypeEngine[bool] = Boolean()
    inherit_cache = True

    def __init__(self, column: InstrumentedAttribute[Any], text: str) -> None:
        for special in "/%_":
            text = text.replace(special, f"/{special}")
        super().__init__(column, literal(f"%{text}%"))


@compiles(has_text, "sqlite")
def _sqlite_has_text(element: has_text, compiler: SQLCompiler, **options: Any) -> str:
    column, pattern = (compiler.process(one, **options) for one in element.clauses)
    return f"({column} LIKE {pattern} ESCAPE '/')"


@compiles(has_text, "postgresql")
def _postgresql_has_text(element: has_text, compiler: SQLCompiler, **options: Any) -> str:
    column, pattern = (compiler.process(one, **options) for one in element.clauses)
    return f"(lower({column}) LIKE lower({pattern}) ESCAPE '/')"  # two thirds of what ILIKE takes


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)
