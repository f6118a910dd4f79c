"""The provenance of an image: what it was made from, and by which commit."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automation.images.options import ImageOptions
from automation.images.pins import read_pins
from automation.images.plan import planned_images
from automation.images.provenance import Build, Revision, revision, statement
from sandbox.images.recipes import base_packages, tree_digest

PINS = read_pins()
DIGEST = "sha256:" + "1" * 64
AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
BUILD = Build(tool="1.28.2", started=AT, ended=AT, revision=Revision(commit="a" * 40, changed=True))


def deployer(options: ImageOptions) -> dict[str, Any]:
    _builder, planned = planned_images(options, PINS.base, "1.0.0")
    return statement(planned, {planned.reference: DIGEST}, PINS, BUILD, downloads=options.programs is None)


def dependencies(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["uri"]: each for each in document["predicate"]["buildDefinition"]["resolvedDependencies"]}


def test_a_statement_is_of_the_form_that_verifiers_know() -> None:
    document = deployer(ImageOptions())
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    assert [each["digest"] for each in document["subject"]] == [{"sha256": "1" * 64}]
    assert set(document["predicate"]) == {"buildDefinition", "runDetails"}
    assert set(document["predicate"]["runDetails"]) == {"builder", "metadata"}
    assert document["predicate"]["runDetails"]["metadata"]["startedOn"] == "2030-01-02T03:04:05+00:00"


def test_everything_that_goes_in_is_named_with_its_digest() -> None:
    found = dependencies(deployer(ImageOptions()))
    name, _, digest = PINS.base.partition("@sha256:")
    assert found[f"docker://{name}"]["digest"] == {"sha256": digest}
    assert found["pkg:generic/aphexpipeline"]["digest"] == {"gitCommit": "a" * 40}
    assert {file.url for program in PINS.programs for file in program.files.values()} <= set(found)
    kubectl = next(program for program in PINS.programs if program.name == "kubectl").files["arm64"]
    assert found[kubectl.url]["digest"] == {"sha256": kubectl.sha256}


def test_programs_of_a_folder_and_a_base_of_packages_are_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pulumi").write_text("1")
    one = ImageOptions(platforms=("linux/amd64",), programs=tmp_path, debootstrap=True)
    found = dependencies(deployer(one))
    assert found["file:programs"]["annotations"] == {"inputs": tree_digest(["."], tmp_path)}
    assert found["pkg:deb/debian?distro=bookworm"]["annotations"] == {"packages": " ".join(base_packages())}
    assert not [uri for uri in found if uri.startswith(("https:", "docker:"))]


def test_a_commit_is_told_with_whether_files_differ_from_it(tmp_path: Path) -> None:
    assert revision(tmp_path) == Revision()
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@test", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    clean = revision(tmp_path)
    assert (len(clean.commit), clean.changed) == (40, False)
    (tmp_path / "new").touch()
    assert revision(tmp_path) == Revision(commit=clean.commit, changed=True)
