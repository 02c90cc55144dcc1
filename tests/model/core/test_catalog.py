"""The catalog and the package manifest: resolution, refusals, and changes of files."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from model.core.aliases import ALIASES, AliasChange, BadAliases, PinnedVersion, change_alias, now_utc
from model.core.catalog import SHIPPED_PACKAGES, Catalog
from model.core.errors import BadPackage, StepsOutOfRange, UnknownModel
from model.core.manifest import MANIFEST, read_manifest
from model.core.model_info import ModelInfo
from model.core.package_digest import package_digest, verify_package
from tests.packages import SHIPPED, SHIPPED_REFERENCE, SHIPPED_VERSION, copied, crown, rewrite_manifest


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
        text = (folder / MANIFEST).read_text().replace(f'"version": "{SHIPPED_VERSION}"', f'"version": "{version}"')
        (folder / MANIFEST).write_text(text)
    catalog = Catalog((tmp_path,))
    assert catalog.find("rain-ms-predrnn").version == "10"
    assert catalog.find("rain-ms-predrnn@2").version == "2"


def test_steps_out_of_range_name_the_range():
    with pytest.raises(StepsOutOfRange, match="1 to 120"):
        Catalog().find("extrapolation").check_steps(0)


@pytest.mark.parametrize("steps", [0, 91, 121])
def test_steps_out_of_range_name_the_range_of_the_lead_time(steps):
    with pytest.raises(StepsOutOfRange, match=r"1 to 36 where frames are 5 min apart, up to 180 min"):
        Catalog().find("rain-ms-predrnn").check_steps(steps)


@pytest.mark.parametrize(("step_minutes", "most"), [(2, 90), (5, 36), (10, 18), (15, 12)])
def test_the_most_steps_follow_from_the_time_step(step_minutes, most):
    info = Catalog().find("rain-ms-predrnn")
    info.check_steps(most, step_minutes)
    for steps in (most + 1, 121):
        with pytest.raises(StepsOutOfRange, match=f"at most {most} steps"):
            info.check_steps(steps, step_minutes)


def test_a_changed_file_of_a_package_is_refused(tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(SHIPPED, folder)
    verify_package(folder)
    with (folder / "model.fp32.onnx").open("r+b") as graph:
        graph.seek(2000)
        graph.write(b"\xff\xff")
    with pytest.raises(BadPackage, match=r"model\.fp32\.onnx does not match its digest"):
        verify_package(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"variants": {"fp32": "../../evil.onnx"}}, "files does not list ../../evil.onnx"),
        ({"variants": {"fp32": "other.onnx"}}, "files does not list other.onnx"),
        ({"files": {"model.fp32.onnx": "0"}}, "files does not list weights.safetensors"),
        ({"files": {"../card.md": "0"}}, "String should match pattern"),
        ({"files": {"..": "0"}}, "String should match pattern"),
    ],
)
def test_a_manifest_that_names_what_is_not_in_the_package_is_refused(tmp_path, changes, says):
    package = copied(tmp_path, "mine@1")
    (tmp_path / "evil.onnx").write_bytes(b"")
    manifest = json.loads((package / MANIFEST).read_text()) | changes
    (package / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadPackage) as refused:
        Catalog((tmp_path,)).find("mine")
    assert says in refused.value.what
    assert refused.value.where == str(package / MANIFEST)


def test_a_broken_manifest_names_the_field_and_takes_no_other_model_with_it(tmp_path):
    folder = tmp_path / "m" / "1"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text('{"name": "m"}')
    catalog = Catalog((tmp_path,))
    assert [info.name for info in catalog.models()] == ["persistence", "extrapolation"]
    assert catalog.find("persistence").version == "1"
    with pytest.raises(BadPackage, match="version"):
        catalog.find("m")


def test_a_manifest_that_cannot_be_read_takes_no_other_model_with_it(tmp_path):
    copied(tmp_path, "good@1")
    manifest = copied(tmp_path, "mine@1") / MANIFEST
    crown(manifest.parent)
    manifest.unlink()
    manifest.mkdir()
    catalog = Catalog((SHIPPED_PACKAGES, tmp_path))
    assert "good@1" in [info.reference for info in catalog.models()]
    with pytest.raises(BadPackage, match=r"manifest\.json cannot be read \(.*\)\. Make it readable"):
        catalog.find("mine")
    models, note = catalog.resolve("auto")
    assert models[0].reference == SHIPPED_REFERENCE
    assert note.startswith("the champion mine@1 cannot be used: manifest.json cannot be read (")


def test_a_package_deleted_during_a_scan_does_not_affect_others(tmp_path, monkeypatch):
    copied(tmp_path, "good@1")
    package = copied(tmp_path, "mine@1")
    kept = package.rename(tmp_path / "kept")

    from_manifest = ModelInfo.from_manifest

    def gone_before_its_digest(manifest, folder):
        if folder == package:
            shutil.rmtree(package)
        return from_manifest(manifest, folder)

    shutil.copytree(kept, package)
    monkeypatch.setattr(ModelInfo, "from_manifest", gone_before_its_digest)
    catalog = Catalog((tmp_path,))
    assert [info.reference for info in catalog.models()][2:] == ["good@1"]
    monkeypatch.undo()
    kept.rename(package)
    assert catalog.find("mine").reference == "mine@1"


def test_a_refusal_does_not_outlast_what_it_was_for(tmp_path, monkeypatch):
    package = copied(tmp_path, "mine@1")
    catalog = Catalog((tmp_path,))

    def out_of_handles(path):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", out_of_handles)
        with pytest.raises(BadPackage, match="Too many open files"):
            catalog.find("mine")
    assert catalog.find("mine").folder == package


def test_two_different_packages_of_one_name_and_version_are_refused(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "rain-ms-predrnn" / SHIPPED_VERSION)
    catalog = Catalog((SHIPPED_PACKAGES, tmp_path))
    assert catalog.find("rain-ms-predrnn").version == SHIPPED_VERSION  # a second copy of a package is no conflict
    manifest = tmp_path / "rain-ms-predrnn" / SHIPPED_VERSION / MANIFEST
    manifest.write_text(manifest.read_text().replace('"Apache-2.0"', '"MIT"'))
    with pytest.raises(BadPackage, match=rf"two different packages are {SHIPPED_REFERENCE}"):
        catalog.find("rain-ms-predrnn")


def test_auto_takes_no_version():
    with pytest.raises(UnknownModel, match="no versions"):
        Catalog().find("auto@99")


def test_auto_is_the_champion_and_champion_a_name_of_it(tmp_path):
    with pytest.raises(UnknownModel, match=r"no model was promoted to champion.*models promote"):
        Catalog((SHIPPED_PACKAGES, tmp_path)).find("champion")
    catalog = Catalog((SHIPPED_PACKAGES, tmp_path))
    assert catalog.find("auto").reference == SHIPPED_REFERENCE
    crown(copied(tmp_path, "mine@1"))
    assert catalog.find("auto").reference == catalog.find("champion").reference == "mine@1"
    assert catalog.aliases_of(catalog.find("mine")) == ["champion"]
    assert [info.reference for info in catalog.resolve("auto").models] == [
        "mine@1",
        SHIPPED_REFERENCE,
        "extrapolation@1",
    ]
    with pytest.raises(UnknownModel, match="champion has no versions"):
        catalog.find("champion@1")


def test_a_changed_champion_falls_back_to_the_one_before_with_a_note(tmp_path):
    catalog = Catalog((SHIPPED_PACKAGES, tmp_path))
    crown(copied(tmp_path, "mine@1"))
    newest = copied(tmp_path, "mine@2")
    crown(newest)
    assert catalog.resolve("auto").note == ""
    rewrite_manifest(newest, summary="Changed behind its back.")
    for reference in ("auto", "champion"):
        models, note = catalog.resolve(reference)
        assert models[0].reference == "mine@1"
        assert note == "the champion mine@2 cannot be used: mine@2 was changed since it became champion"
    assert catalog.find("mine@2").summary == "Changed behind its back."
    shutil.rmtree(tmp_path / "mine")
    models, note = catalog.resolve("auto")
    assert models[0].reference == SHIPPED_REFERENCE
    assert "mine@2 is not installed; mine@1 before it cannot be used: mine@1 is not installed" in note


def test_a_package_that_was_found_unable_to_run_is_passed_over(tmp_path):
    catalog = Catalog((SHIPPED_PACKAGES, tmp_path))
    crown(copied(tmp_path, "mine@1"))
    without = catalog.excluding(catalog.find("mine"), "its graph is damaged")
    assert without.find("champion").reference == SHIPPED_REFERENCE
    assert without.resolve("auto").note == "the champion mine@1 cannot be used: its graph is damaged"
    assert without.excluding(without.find("auto"), "neither").find("auto").reference == "extrapolation@1"
    assert catalog.resolve("auto").note == ""


def test_with_damaged_aliases_auto_and_champion_are_the_default_model(tmp_path):
    copied(tmp_path, "mine@1")
    (tmp_path / ALIASES).write_text("{")
    catalog = Catalog((SHIPPED_PACKAGES, tmp_path))
    for reference in ("auto", "champion"):
        models, note = catalog.resolve(reference)
        assert models[0].reference == SHIPPED_REFERENCE
        assert "the champion is not known: the aliases are damaged" in note
        assert str(tmp_path) not in note
    assert catalog.find("mine").version == "1"
    with pytest.raises(BadAliases, match=r"aliases\.json"):
        catalog.find("challenger")
    (tmp_path / ALIASES).unlink()
    assert catalog.resolve("auto").note == ""


def test_any_other_alias_is_pinned_and_has_no_stand_in(tmp_path):
    package = copied(tmp_path, "mine@1")
    pin = PinnedVersion(model="mine@1", digest=package_digest(package))
    change_alias(
        tmp_path,
        lambda now: AliasChange(alias="night", action="alias", when=now_utc(), by="", before=None, after=pin),
    )
    catalog = Catalog((SHIPPED_PACKAGES, tmp_path))
    assert catalog.find("night").reference == "mine@1"
    with pytest.raises(UnknownModel, match="night"):
        catalog.find("day")
    rewrite_manifest(package, summary="Changed.")
    with pytest.raises(BadPackage, match="mine@1 was changed since it became night"):
        catalog.find("night")


@pytest.mark.parametrize("name", ["auto", "champion", "challenger", "persistence"])
def test_a_package_of_a_reserved_name_is_left_out(tmp_path, name):
    copied(tmp_path, f"{name}@7")
    catalog = Catalog((SHIPPED_PACKAGES, tmp_path))
    assert f"{name}@7" not in [info.reference for info in catalog.models()]
    with pytest.raises(BadPackage, match=f"the name {name} is reserved"):
        read_manifest(tmp_path / name / "7")


def test_a_manifest_is_read_again_only_where_it_changed(tmp_path, monkeypatch):
    package = copied(tmp_path, "mine@1")
    read = []
    monkeypatch.setattr("model.core.catalog.read_manifest", lambda folder: read.append(folder) or read_manifest(folder))
    catalog = Catalog((tmp_path,))
    for _ in range(3):
        catalog.find("mine")
    assert read == [package]
    rewrite_manifest(package, summary="Another.")
    assert catalog.find("mine").summary == "Another."
