"""Products of a feed's nowcasts: what there is, and where it lies in the store.

Every run has a folder of its own for each job that made its nowcast:
`feeds/{feed}/products/{reference_time}/{job}/{file}`. The name of a file has the digest of its content, so that an
address never changes its meaning. `manifest.json` is written last, and lists the others: without it the folder is a
leftover.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal, TypedDict, get_args

from model.core.extras import is_installed, missing_dependency
from model.core.times import basic_text

Product = Literal["cog", "accumulations", "png", "zarr"]
PRODUCTS: Final[tuple[Product, ...]] = get_args(Product)

PACKAGES: Final[Mapping[Product, str]] = {"cog": "rasterio", "zarr": "zarr"}
"""Optional packages without which a product cannot be made."""

MANIFEST: Final = "manifest.json"
FEEDS: Final = "feeds"
"""Prefix of all objects of feeds."""


class ProductFile(TypedDict):
    """A file of a product, as the ledger and the manifest have it; of each product the first file is the main one.

    `name`: in addresses, with the first digits of the `digest` (SHA-256 of the content). `key`: in the store. `title`:
    for people.
    """

    product: Product
    name: str
    title: str
    key: str
    media_type: str
    size: int
    digest: str


def products_of_feed(feed: str) -> str:
    """Return the prefix of all products of a feed's runs."""
    return f"{FEEDS}/{feed}/products"


def products_prefix(feed: str, reference_time: datetime) -> str:
    """Return the prefix of all products of a run, by whichever job."""
    return f"{products_of_feed(feed)}/{basic_text(reference_time)}"


def job_products_prefix(feed: str, reference_time: datetime, job_id: str) -> str:
    """Return the prefix of the products of a run's nowcast that this job made."""
    return f"{products_prefix(feed, reference_time)}/{job_id}"


def forecasts_prefix(feed: str) -> str:
    """Return the prefix of the archive of a feed's forecasts."""
    return f"{FEEDS}/{feed}/forecasts"


def main_files(files: list[ProductFile] | None) -> list[ProductFile]:
    """Return the first file of each product."""
    found: dict[str, ProductFile] = {}
    for file in files or []:
        found.setdefault(file["product"], file)
    return list(found.values())


def find_file(files: list[ProductFile] | None, name: str) -> ProductFile | None:
    """Return the file of that name, or the main file of the product of that name."""
    return next((file for file in files or [] if name in (file["name"], file["product"])), None)


def check_packages(products: Iterable[Product]) -> None:
    """Check that what products need is installed.

    Raises
    ------
    MissingDependency
        A package is not.
    """
    for product in products:
        package = PACKAGES.get(product)
        if package is not None and not is_installed(package):
            problem = f"the product {product} needs {package}, which is not installed"
            raise missing_dependency(package, where="products", problem=problem)
