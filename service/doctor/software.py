"""Versions of Python and of installed packages, model packages, and the device that networks run on."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from model.core.errors import BadPackage, InputError
from service.doctor.finding import Finding
from service.settings import Settings

TESTED_PYTHON: Final = ((3, 11), (3, 12))
PROBE_SECONDS: Final = 180.0
"""How long loading and a small forecast may take, also on a slow disk or a device that is busy."""


def check_versions(settings: Settings) -> Iterator[Finding]:
    """Check Python, the packages that Echocast requires, and ONNX Runtime."""
    version = platform.python_version()
    tested = sys.version_info[:2] in TESTED_PYTHON
    hint = "" if tested else "Echocast is tested with Python 3.11 and 3.12: install one of them"
    yield Finding("versions", "ok" if tested else "warning", f"Python {version}", hint)
    yield from _requirements()
    runtimes = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    if len(runtimes) == 2:
        what = "onnxruntime and onnxruntime-gpu are both installed, and overwrite each other's files"
        yield Finding(
            "versions", "bad", what, f"pip uninstall {' '.join(runtimes)}, then install the one that you need"
        )
    elif runtimes:
        yield Finding("versions", "ok", f"{runtimes[0]} {_version(runtimes[0])}")
    else:
        what = "no ONNX Runtime: this installation can be a gateway, and no worker"
        hint = "Install the extra cpu or gpu: pip install 'echocast[cpu]'"
        yield Finding("versions", "bad" if settings.embedded else "warning", what, hint)
    if settings.embedded:
        yield _redis_server()


def check_packages(settings: Settings) -> Iterator[Finding]:
    """Verify the digest of each file of each model package, and name the model that `auto` resolves to."""
    from model.core.catalog import AUTO, open_catalog
    from model.core.manifest import MANIFEST
    from model.core.model_info import EXTRAPOLATION
    from model.core.package_digest import verify_package

    logging.getLogger("model.core.catalog").setLevel(logging.ERROR)
    catalog = open_catalog(settings.packages_folder)
    intact = 0
    for folder in (path.parent for root in catalog.folders for path in sorted(root.glob(f"*/*/{MANIFEST}"))):
        try:
            verify_package(folder)
            intact += 1
        except BadPackage as error:
            yield Finding("packages", "bad", f"{error.where}: {error.what}", error.hint)
    yield Finding("packages", "ok", f"{intact} with intact files")
    resolution = catalog.resolve(AUTO)
    model = resolution.models[0]
    names = ", ".join(catalog.aliases_of(model)) or "the default"
    if model is EXTRAPOLATION:
        yield Finding("packages", "bad", f"no network can run: {resolution.note}", "Install or promote a package")
    elif resolution.note:
        what = f"auto is {model.reference}: {resolution.note}"
        yield Finding("packages", "warning", what, "Restore that package, or promote another: echocast models promote")
    else:
        yield Finding("packages", "ok", f"auto is {model.reference} ({names})")


def check_device(settings: Settings) -> Iterator[Finding]:
    """Make a small forecast in a process of its own, and name the device that it ran on."""
    from service.embedded import environment_of

    if not (_version("onnxruntime") or _version("onnxruntime-gpu")):
        return
    command = [sys.executable, "-P", "-m", "model.runtime.probe", str(settings.packages_folder)]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment_of(settings)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        what = f"a small forecast did not end within {PROBE_SECONDS:g} s"
        yield Finding("device", "bad", what, "See what else uses the device (nvidia-smi, top); restart the machine")
        return
    try:
        result = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [""])[-1]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        what = f"a small forecast ended with {how}: {last}".rstrip(": ")
        yield Finding("device", "bad", what, "Install ONNX Runtime again, and the driver that it needs")
        return
    if "what" in result:
        yield Finding("device", "bad", result["what"], result["hint"])
        return
    yield Finding("device", "ok", f"{result['model']} made a forecast: {result['variant']}")


def _requirements() -> Iterator[Finding]:
    """Compare the installed packages with what Echocast requires."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("echocast") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("versions", "warning", "Echocast runs from a folder, not installed", "Install it: pip install .")
        return
    wrong = []
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name}{requirement.specifier} ({version or 'not installed'})")
    yield Finding("versions", "ok", f"Echocast {_version('echocast')}")
    if wrong:
        hint = "pip install -c constraints.txt . again, in a virtual environment of its own"
        yield Finding("versions", "bad", f"it requires {', '.join(wrong)}", hint)


def _redis_server() -> Finding:
    from service.embedded import find_redis_server

    try:
        program = find_redis_server()
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except InputError as error:
        return Finding("versions", "bad", error.what, error.hint)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("versions", "bad", f"the Redis server does not start ({error})", "Install redis-server again")
    words = done.stdout.split()
    version = next((word.removeprefix("v=") for word in words if word.startswith("v=")), "?")
    return Finding("versions", "ok", f"{program.name} {version}")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
