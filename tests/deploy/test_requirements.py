"""The lists with hashes from which images are installed, held to pyproject.toml and constraints.txt."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

EXTRAS = {
    "gateway": ("geotiff", "oidc", "otel", "postgres", "push"),
    "worker-cpu": ("cpu", "grib", "geotiff", "mqtt", "notify", "push", "zarr", "otel", "postgres"),
    "worker-gpu": ("gpu", "grib", "geotiff", "mqtt", "notify", "push", "zarr", "otel", "postgres"),
}
ENVIRONMENT = default_environment() | {"python_version": "3.12", "python_full_version": "3.12.0"}


def locked(path: Path) -> dict[str, tuple[Version, int]]:
    """Version and number of hashes of each package in a list."""
    found = {}
    for entry in re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).strip()):
        name, _, version = entry.split()[0].partition("==")
        found[canonicalize_name(name)] = (Version(version), entry.count("--hash=sha256:"))
    return found


def required(requirement: Requirement, extras: tuple[str, ...] = ("",)) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate(ENVIRONMENT | {"extra": extra}) for extra in extras)


@pytest.fixture(params=EXTRAS)
def image(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_package_has_a_hash_and_the_version_of_the_constraints(project: Path, image: str) -> None:
    lines = (project / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(line.split("==")[0]): Version(line.split("==")[1]) for line in lines if "==" in line}
    pins["onnxruntime-gpu"] = pins["onnxruntime"]
    for name, (version, hashes) in locked(project / "deploy" / "requirements" / f"{image}.txt").items():
        assert hashes, name
        assert pins.get(name, version) == version, f"{name} is {version}: run make lock"


def test_it_has_all_that_echocast_requires_and_what_that_requires(project: Path, image: str) -> None:
    """Down to the last dependency, by the metadata of the packages that are installed here."""
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    optional = declared["optional-dependencies"]
    waiting = [Requirement(line) for line in declared["dependencies"]]
    waiting += [Requirement(line) for extra in EXTRAS[image] for line in optional[extra]]
    has = locked(project / "deploy" / "requirements" / f"{image}.txt")
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if not required(requirement):
            continue
        assert name in has, f"{name} is not in {image}.txt: run make lock"
        assert requirement.specifier.contains(has[name][0], prereleases=True), f"{requirement}: run make lock"
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        extras = ("", *requirement.extras)
        wanted = [Requirement(line) for line in lines]
        for one in wanted:
            if required(one, extras):
                one.marker = None
                waiting.append(one)


def test_the_gateway_has_no_engine(project: Path) -> None:
    names = set(locked(project / "deploy" / "requirements" / "gateway.txt"))
    assert not {name for name in names if name.startswith(("onnxruntime", "torch", "eccodes"))}
