"""Optional dependencies: which extra installs a package, and the error where a package is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Final

from model.core.errors import MissingDependency

EXTRAS: Final = {
    "apprise": "notify",
    "onnxruntime": "cpu",
    "eccodes": "grib",
    "rasterio": "geotiff",
    "zarr": "zarr",
    "matplotlib": "verify",
    "opentelemetry": "otel",
    "onnxscript": "train",
    "safetensors": "train",
    "tensorboardX": "train",
    "torch": "train",
    "paho": "mqtt",
    "http_ece": "push",
}
"""The extra of Echocast that installs a package. Any other package is installed by its own name, and so
is onnx, which `echocast bench` needs on machines where the rest of `train` (2 GB) does not belong."""


@cache
def is_installed(package: str) -> bool:
    """Whether a package can be imported, by the name under which it is."""
    return find_spec(package) is not None


def missing_dependency(package: str, where: str = "", problem: str = "") -> MissingDependency:
    """Return the error for a package that is not installed, with the command that installs it as the hint.

    Parameters
    ----------
    package
        Name under which the package is imported.
    where
        The command or option that needs the package.
    problem
        What is wrong; by default that the package is not installed.
    """
    requirement = f"'echocast[{EXTRAS[package]}]'" if package in EXTRAS else package
    return MissingDependency(
        problem or f"the package {package} is not installed",
        where=where,
        hint=f"Install it with: pip install {requirement}",
    )


@contextmanager
def optional_imports(where: str, consequence: str = "") -> Iterator[None]:
    """Turn a failed import in the block into an error that names the package and the extra to install.

    Parameters
    ----------
    where
        The command or option that needs the imports.
    consequence
        What cannot be done without them.

    Raises
    ------
    MissingDependency
        A package that the block imports is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "model"):  # not optional: the installation is broken
            raise
        problem = f"{consequence}, the package {package} is not installed" if consequence else ""
        raise missing_dependency(package, where, problem) from None
