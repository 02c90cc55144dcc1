"""Z-R relations, compared with values computed by hand from the papers."""

import numpy as np
import pytest

from model.core.errors import InputError
from model.core.zr import MARSHALL_PALMER, zr_relation


def test_marshall_palmer_at_the_textbook_points():
    # 10 log10(200) = 23.01 dBZ at 1 mm/h, and 16 dB more at 10 mm/h.
    assert MARSHALL_PALMER.reflectivity_dbz(np.array([1.0, 10.0])) == pytest.approx([23.0103, 39.0103], abs=1e-3)
    assert MARSHALL_PALMER.rain_rate_mm_h(np.array([39.0103])) == pytest.approx([10.0], rel=1e-4)


def test_an_unknown_relation_is_refused_by_name_and_the_known_ones_are_listed():
    with pytest.raises(InputError, match=r"'marshal'.*marshall-palmer"):
        zr_relation("marshal")
