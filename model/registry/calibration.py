"""`echocast models calibrate`: calibrate the neighbourhood probabilities of a model on archives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from model.core.atomic import translate_write_errors, write_atomically
from model.core.catalog import open_catalog
from model.core.errors import InputError
from model.core.extras import optional_imports
from model.core.manifest import write_manifest
from model.core.model_info import EXTRAPOLATION, ModelInfo
from model.core.package_digest import file_sha256, verify_package
from model.core.probability_calibration import ProbabilityCalibration
from model.core.progress import ProgressBar
from model.options import fields_option, packages_option
from model.registry.show import find_model


@click.command("calibrate")
@click.argument("reference")
@click.option(
    "--archive",
    "archives",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="An archive to calibrate on; its held-out part is not read. May be given several times.",
)
@click.option("--version", help="Version of the new package: versions never change. Not for extrapolation.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of packages, as NAME/VERSION; for extrapolation the JSON file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the calibration as JSON.")
@fields_option
@packages_option
def calibrate(
    reference: str,
    archives: tuple[Path, ...],
    version: str | None,
    out: Path,
    as_json: bool,
    fields: Path | None,
    packages: Path | None,
) -> None:
    """Calibrate the probabilities of a model without a distribution, by isotonic regression on archives.

    REFERENCE is NAME, NAME@VERSION, an alias, or a package's folder: the calibration becomes part of a new version. Or
    it is extrapolation: the calibration becomes a file, which ECHOCAST_CALIBRATION can name.
    """
    info = find_model(reference, open_catalog(packages))
    _check(info, version, out)
    with optional_imports("models calibrate"):
        from model.data.archive import Archive
        from model.runtime.load import load_predictor
        from model.verify.calibration import fit_calibration
    opened = [Archive(path) for path in archives]
    with ProgressBar("calibrating") as progress:
        calibration = fit_calibration(load_predictor(info, fields), opened, progress.update)
    if info.folder is None:
        written = out
        with translate_write_errors(out):
            write_atomically(out, (calibration.model_dump_json() + "\n").encode())
    else:
        written = _new_version(info.folder, str(version), out, calibration)
    if as_json:
        click.echo(json.dumps({"file": str(written), **calibration.model_dump(mode="json")}))
        return
    for archive in calibration.archives:
        click.echo(f"{archive.name}: {archive.starts} start times")
    click.echo(_summary(calibration))
    click.echo(str(written))


def _check(info: ModelInfo, version: str | None, out: Path) -> None:
    """Check before any forecast that the model can be calibrated, and that the result can be written.

    Raises
    ------
    InputError
        The model has a distribution, or is persistence, or of no rain; or `--version` and `--out` do not fit it.
    """
    if info.distribution is not None:
        raise InputError(
            "its probabilities come from its own distribution", where=info.reference, hint="Choose another model"
        )
    if info.data != "rain":
        raise InputError(f"it was trained on {info.data}", where=info.reference, hint="Choose a model of rain")
    if info.folder is not None:
        if version is None:
            raise click.UsageError("a package needs --version: the calibration becomes part of a new version")
        with optional_imports("models calibrate"):
            from model.export.package import new_version
        new_version(out, info.name, version)
        return
    if info.name != EXTRAPOLATION.name:
        raise InputError("it stays without a calibration", where=info.reference, hint="Calibrate extrapolation")
    if version is not None:
        raise click.UsageError("extrapolation has no versions of its own: leave --version out")
    if out.is_dir() or not out.parent.is_dir():
        what = "it is a folder" if out.is_dir() else "its folder does not exist"
        raise InputError(what, where=str(out), hint="Name the file to write with --out, as in calibration.json")


def _new_version(package: Path, version: str, out: Path, calibration: ProbabilityCalibration) -> Path:
    """Write a copy of a package with a calibration as `out/NAME/VERSION`, and return its folder."""
    from model.export.package import CARD, new_folder, new_version
    from model.export.variants import SECTION

    manifest = verify_package(package)
    folder = new_version(out, manifest.name, version)
    with new_folder(folder) as draft:
        for name in manifest.files:
            shutil.copyfile(package / name, draft / name)
        lines = (draft / CARD).read_text(encoding="utf-8").splitlines()
        end = lines.index(SECTION) if SECTION in lines else len(lines)
        lines = [f"# {manifest.name} {version}", *lines[1:end], *_section(calibration), *lines[end:]]
        (draft / CARD).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
        files = {name: file_sha256(draft / name) for name in manifest.files}
        changes = {"version": version, "calibration": calibration, "files": files}
        write_manifest(manifest.model_copy(update=changes), draft)
    return folder


def _section(calibration: ProbabilityCalibration) -> Iterator[str]:
    """Yield the lines of the card about probabilities."""
    yield "## Probabilities"
    yield ""
    yield "By neighbourhood, calibrated by isotonic regression on start times of these archives:"
    yield ""
    for archive in calibration.archives:
        yield f"- {archive.name}: {archive.starts} start times on {', '.join(archive.days)}"
    yield ""


def _summary(calibration: ProbabilityCalibration) -> str:
    """Return a line on what the calibration makes of a share of one half."""
    thresholds, lead = (0.5, 5.0), calibration.lead_minutes[-1]
    half = np.full((len(thresholds), 1), 0.5, np.float32)
    low, high = calibration.calibrate(half, thresholds, lead)[:, 0]
    return (
        f"half of the neighbourhood at +{lead:g} min: P(rain >= {thresholds[0]:g} mm/h) = {low:.2f}, "
        f"P(rain >= {thresholds[1]:g} mm/h) = {high:.2f}"
    )
