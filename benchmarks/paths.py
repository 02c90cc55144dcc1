"""Where figures are stored, and the pages of docs/ with generated parts."""

from pathlib import Path
from typing import Final

_HERE = Path(__file__).resolve().parent
_DOCS = _HERE.parent / "docs"

FIGURES: Final = _HERE / "figures"
IMAGES: Final = _DOCS / "images"
NETWORKS_PAGE: Final = _DOCS / "networks.md"
PERFORMANCE_PAGE: Final = _DOCS / "performance.md"
VERIFICATION_PAGE: Final = _DOCS / "verification.md"
