"""Releases of Helm charts: what the helm program is told, and what the engine is told when there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.providers.base import Change, InitializationFailed, Naming, Properties, ProviderError, Resource
from sandbox.providers.kubernetes.charts import ChartTarget, HelmProgram, command_line
from sandbox.providers.kubernetes.provider import KubernetesProvider
from sandbox.providers.kubernetes.releases import RELEASE, ReleasingProvider
from tests.support.fake_helm import FakeHelm

ARGO = Resource(urn="urn:pulumi:test::test::r::argo", type=RELEASE, name="argo")
REPOSITORY = {"repo": "https://argoproj.github.io/argo-helm"}
INPUTS: Properties = {
    "name": "argo",
    "namespace": "argo",
    "chart": "argo-workflows",
    "version": "0.45.1",
    "repositoryOpts": REPOSITORY,
    "values": {"server": {"password": "correct horse"}},
    "compat": "true",
}


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHelm:
    program = FakeHelm(tmp_path)
    monkeypatch.setenv("PATH", f"{program.folder}{os.pathsep}{os.environ['PATH']}")
    return program


@pytest.fixture
def provider() -> ReleasingProvider:
    made = ReleasingProvider(KubernetesProvider(), HelmProgram)
    made.configure({"kubeconfig": '{"apiVersion": "v1", "kind": "Config"}'})
    return made


def checked(provider: ReleasingProvider, inputs: Properties) -> Properties:
    found = provider.check(ARGO, None, inputs, Naming(seed=b"seed"))
    assert not found.problems
    return found.inputs


def test_a_release_is_installed_upgraded_and_removed(provider: ReleasingProvider, helm: FakeHelm) -> None:
    inputs = checked(provider, INPUTS)
    planned = provider.create(ARGO, inputs, preview=True, timeout=0)
    assert helm.calls == []
    created = provider.create(ARGO, inputs, preview=False, timeout=0)
    assert (planned.id, created.id) == ("", "argo/argo")
    assert created.outputs["status"]["revision"] == 1
    assert created.outputs["status"]["chart"] == "argo-workflows"

    seen = provider.read(ARGO, created.id, inputs, created.outputs)
    assert seen is not None
    assert seen.inputs == inputs
    newer = {**inputs, "version": "0.46.0", "timeout": 600}
    difference = provider.diff(ARGO, created.id, inputs, created.outputs, newer)
    assert [(change.path, change.replaces) for change in difference.changes] == [("timeout", False), ("version", False)]
    outputs = provider.update(ARGO, created.id, Change(newer, inputs, created.outputs))
    assert (outputs["status"]["revision"], outputs["status"]["version"]) == (2, "0.46.0")
    moved = provider.diff(ARGO, created.id, inputs, outputs, {**inputs, "namespace": "other"})
    assert [(change.path, change.replaces) for change in moved.changes] == [("namespace", True)]

    for _ in range(2):
        provider.delete(ARGO, created.id, newer, outputs, 0)
    assert provider.read(ARGO, created.id, newer, outputs) is None


def test_no_secret_is_among_the_arguments(provider: ReleasingProvider, helm: FakeHelm) -> None:
    provider.create(ARGO, checked(provider, INPUTS), preview=False, timeout=0)
    assert "correct horse" not in str(helm.calls)
    assert '"kind": "Config"' in helm.kubeconfig
    with_password = {**INPUTS, "repositoryOpts": {**REPOSITORY, "username": "me", "password": "secret"}}
    (problem,) = provider.check(ARGO, None, with_password, Naming()).problems
    assert problem.reason == "the stand-in takes no credentials of a chart repository"


def test_a_chart_that_cannot_be_installed_is_told_by_helm_itself(provider: ReleasingProvider, helm: FakeHelm) -> None:
    broken = checked(provider, {**INPUTS, "chart": "broken"})
    with pytest.raises(ProviderError, match="Error: chart not found"):
        provider.create(ARGO, broken, preview=False, timeout=0)
    created = provider.create(ARGO, checked(provider, INPUTS), preview=False, timeout=0)
    with pytest.raises(InitializationFailed, match="Error: chart not found") as failed:
        provider.update(ARGO, created.id, Change(broken, INPUTS, created.outputs))
    assert failed.value.outputs["status"]["revision"] == 1


def test_every_setting_is_an_option_of_the_program() -> None:
    settings = {
        "atomic": True,
        "createNamespace": True,
        "description": "by Pulumi",
        "skipCrds": True,
        "timeout": 900,
        "waitForJobs": True,
    }
    release = {key: value for key, value in INPUTS.items() if key != "values"} | settings
    assert " ".join(command_line("install", release)) == (
        "install argo argo-workflows --namespace argo --repo https://argoproj.github.io/argo-helm --version 0.45.1 "
        "--description by Pulumi --atomic --create-namespace --skip-crds --wait-for-jobs --wait --timeout 900s"
    )
    assert "--wait" not in command_line("install", {**release, "skipAwait": True})


def test_without_the_program_a_preview_already_says_what_is_needed(
    provider: ReleasingProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProviderError) as refused:
        provider.create(ARGO, checked(provider, INPUTS), preview=True, timeout=0)
    assert str(refused.value) == (
        "a kubernetes:helm.sh/v3:Release needs the program helm, which is not on the PATH\n"
        "Install Helm 3, or the real provider: pulumi plugin install resource kubernetes."
    )


def test_what_the_stand_in_does_not_do_is_refused(provider: ReleasingProvider) -> None:
    refused = provider.check(ARGO, None, {"chart": "c", "postrender": "kustomize", "keyring": "k"}, Naming())
    assert [problem.property for problem in refused.problems] == ["keyring", "postrender"]
    assert refused.inputs["name"].startswith("argo-")


def test_a_path_of_a_kubeconfig_is_handed_on(helm: FakeHelm, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("apiVersion: v1")
    HelmProgram(ChartTarget(kubeconfig=str(path), context="here")).find("argo", "argo")
    assert helm.calls[0][-4:] == ["--kube-context", "here", "--kubeconfig", str(path)]
