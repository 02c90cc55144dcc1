"""What the ledger's tables share. Each change needs a migration under `migrations/versions`, as a test checks.

Each table is one mapped dataclass: its fields are the columns, the arguments of its constructor, and the attributes of
the object that a query returns. Queries return objects detached from their session, with every column loaded.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Enum, Float
from sqlalchemy.orm import DeclarativeBase, MappedAsDataclass
from sqlalchemy.types import TypeDecorator

from model.core.forecast_output import DETERMINISTIC_OUTPUT, ForecastOutput


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware UTC time; SQLite stores it without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert a time to UTC before it is stored."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return a stored time with the UTC zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ForecastOutputJson(TypeDecorator[ForecastOutput]):
    """What a forecast is asked to hold, as JSON; NULL in rows of before there was a choice."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: ForecastOutput | None, dialect: Dialect) -> dict[str, Any] | None:
        """Return the fields by name."""
        return None if value is None else asdict(value)

    def process_result_value(self, value: dict[str, Any] | None, dialect: Dialect) -> ForecastOutput:
        """Return what was stored; the default where nothing was."""
        if value is None:
            return DETERMINISTIC_OUTPUT
        return ForecastOutput(**{**value, "thresholds_mm_h": tuple(value["thresholds_mm_h"])})


def text_enum(members: type[StrEnum]) -> Enum:
    """Return a column type that stores the values of `members` as plain text of up to 16 characters."""
    return Enum(members, native_enum=False, length=16, values_callable=lambda enum: [item.value for item in enum])


class Base(MappedAsDataclass, DeclarativeBase):
    """Base of the mapped dataclasses."""

    type_annotation_map = {datetime: UtcDateTime, float: Float()}  # noqa: RUF012 - SQLAlchemy's own name and form
