"""The rain at one place as CSV (RFC 4180), a row for each frame."""

from __future__ import annotations

import csv
import io
from typing import Final

from model.core.times import rfc3339
from service.api.nowcasts.types import PointSeries

MEDIA_TYPE: Final = "text/csv; charset=utf-8; header=present"
COLUMNS: Final = ("valid_time", "kind", "lead_minutes", "rain_rate_mm_h", "probability_of_rain")


def csv_of(series: PointSeries) -> str:
    """Return the series as CSV. An empty field is missing data, never dry; each threshold has a column."""
    file = io.StringIO()
    table = csv.writer(file)
    table.writerow([*COLUMNS, *(f"probability_of_{threshold:g}_mm_h" for threshold in series.thresholds_mm_h)])
    for value in series.series:
        probability = value.probability or [None] * len(series.thresholds_mm_h)
        time = rfc3339(value.valid_time)
        row = [time, value.kind, f"{value.lead_minutes:g}", value.rain_rate, value.probability_of_rain, *probability]
        table.writerow(row)
    return file.getvalue()
