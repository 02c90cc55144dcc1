"""The catalogue and the package manifest: what is found, what is refused, what a change of a file does."""

import shutil

import pytest

from model.core.catalog import SHIPPED_PACKAGES, Catalog
from model.core.errors import BadPackage, StepsOutOfRange, UnknownModel
from model.core.manifest import MANIFEST, verify_package

SHIPPED = SHIPPED_PACKAGES / "rain-ms-predrnn" / "1.1"


def test_baselines_and_the_shipped_package_are_there():
    names = [info.name for info in Catalog().models()]
    assert names[:2] == ["persistence", "extrapolation"]
    assert "rain-ms-predrnn" in names


def test_auto_is_extrapolation_where_no_package_is_installed(tmp_path):
    assert Catalog((tmp_path,)).find("auto").name == "extrapolation"


def test_an_unknown_model_lists_the_known():
    with pytest.raises(UnknownModel, match=r"'pysteps'.*persistence, extrapolation"):
        Catalog().find("pysteps")
    with pytest.raises(UnknownModel):
        Catalog().find("rain-ms-predrnn@99")


def test_the_newest_version_is_found_first(tmp_path):
    for version in ("1", "2", "10"):
        folder = tmp_path / "rain-ms-predrnn" / version
        shutil.copytree(SHIPPED, folder)
        text = (folder / MANIFEST).read_text().replace('"version": "1.1"', f'"version": "{version}"')
        (folder / MANIFEST).write_text(text)
    catalog = Catalog((tmp_path,))
    assert catalog.find("rain-ms-predrnn").version == "10"
    assert catalog.find("rain-ms-predrnn@2").version == "2"


def test_steps_out_of_range_say_the_range():
    with pytest.raises(StepsOutOfRange, match="1 to 120"):
        Catalog().find("extrapolation").check_steps(0)


def test_a_changed_file_of_a_package_is_refused(tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(SHIPPED, folder)
    verify_package(folder)
    with (folder / "model.fp32.onnx").open("r+b") as graph:
        graph.seek(2000)
        graph.write(b"\xff\xff")
    with pytest.raises(BadPackage, match=r"model\.fp32\.onnx does not match its digest"):
        verify_package(folder)


def test_a_manifest_that_names_a_file_elsewhere_is_refused(tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(SHIPPED, folder)
    text = (folder / MANIFEST).read_text().replace('"card.md":', '"../card.md":')
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BadPackage):
        verify_package(folder)


def test_a_broken_manifest_names_the_field_and_takes_no_other_model_with_it(tmp_path):
    folder = tmp_path / "m" / "1"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text('{"name": "m"}')
    catalog = Catalog((tmp_path,))
    assert [info.name for info in catalog.models()] == ["persistence", "extrapolation"]
    assert catalog.find("persistence").version == "1"
    with pytest.raises(BadPackage, match="version"):
        catalog.find("m")


def test_two_different_packages_of_one_name_and_version_are_refused(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "rain-ms-predrnn/1.1")
    catalog = Catalog((SHIPPED_PACKAGES, tmp_path))
    assert catalog.find("rain-ms-predrnn").version == "1.1"  # the same package twice does no harm
    manifest = tmp_path / "rain-ms-predrnn/1.1" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"Apache-2.0"', '"MIT"'))
    with pytest.raises(BadPackage, match=r"two different packages are rain-ms-predrnn@1.1"):
        catalog.find("rain-ms-predrnn")


def test_auto_takes_no_version():
    with pytest.raises(UnknownModel, match="no versions"):
        Catalog().find("auto@99")
