"""What tests of the bootstrap share: a context, an account played by moto, and steps whose world is a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aphex.errors import AphexError
from aphex.loader import load_config
from automation.access import KubernetesAccess
from automation.bootstrap.context import Account, Context
from automation.bootstrap.step import Finding, done, to_do
from automation.console import Terminal
from automation.options import TargetOptions
from automation.target import Target, choose, subject_of
from tests.support.aws_stand_in import ACCOUNT, REGION, AwsStandIn
from tests.support.example import example_settings

CLUSTERS = sorted((Path(__file__).parents[2] / "docs" / "examples" / "cluster").glob("*.yaml"))
NAME = "aphex-main"
BUCKET = f"aphex-state-{ACCOUNT}-{REGION}"
MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = f"""
version: "1.0"
pipeline: {{name: shop, repository: "https://github.com/acme/shop.git"}}
build: {{commands: [make]}}
environments:
  - name: dev
    region: {REGION}
    account: "{ACCOUNT}"
    role: arn:aws:iam::{ACCOUNT}:role/aphex-deployer
    stacks: [{{name: App, path: app.py}}]
"""


@contextmanager
def caller_of(aws: AwsStandIn) -> Iterator[AwsStandIn]:
    """The caller's credentials and account, in the environment as long as the block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": aws.endpoint,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": REGION,
        }.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.delenv("AWS_REGION", raising=False)
        yield aws


def context(tmp_path: Path, *, target: str | None = "eks", text: str = CONFIG, **more: Any) -> Context:
    file = tmp_path / "aphex-config.yaml"
    file.write_text(text)
    options = TargetOptions(config=file, target=target)
    config = load_config(file)
    values: dict[str, Any] = {
        "options": options,
        "config": config,
        "choice": choose(target, None, None, "default"),
        "subject": subject_of(config, file),
        "terminal": Terminal(json_output=True),
        "cluster_file": tmp_path / "aphex-cluster.yaml",
        "account": Account(number=ACCOUNT, region=REGION, caller="arn:aws:iam::123456789012:user/ada"),
    }
    return Context(**(values | more))


def outputs() -> dict[str, Any]:
    server = {"server": "https://main.eks.example.org", "certificate-authority-data": "Q0E="}
    kubeconfig = {"clusters": [{"name": "it", "cluster": server}]}
    host = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{NAME}"
    return {
        "cluster_name": NAME,
        "region": REGION,
        "account": ACCOUNT,
        "kubernetes_version": "1.35",
        "kubeconfig": json.dumps(kubeconfig),
        "builder_repository": f"{host}/aphex-builder",
        "deployer_repository": f"{host}/aphex-deployer",
    }


def target_of(here: Context) -> Target:
    from aphex_platform.settings import PlatformSecrets
    from pydantic import SecretStr

    settings = example_settings(
        state_backend=f"s3://{BUCKET}?region={REGION}",
        repository="https://github.com/acme/shop.git",
        repository_full_name="acme/shop",
    )
    return Target(
        settings=settings,
        secrets=PlatformSecrets(webhook_secret=SecretStr("signs")),
        aws=here.aws(),
        kubernetes=KubernetesAccess(),
    )


@dataclass(kw_only=True)
class Brick:
    """A step whose world is a file."""

    name: str
    folder: Path
    fails: list[str] = field(default_factory=list)
    title: str = "A brick"
    makes: str = "a brick"

    def check(self) -> Finding:
        there = (self.folder / self.name).exists()
        return done(f"{self.name} is there") if there else to_do(f"{self.name} is not there")

    def do(self) -> None:
        if self.name in self.fails:
            raise AphexError("the crane is broken", hint="Mend the crane.")
        assert not (self.folder / self.name).exists()
        (self.folder / self.name).touch()


@dataclass(kw_only=True)
class Fixed:
    """A step that always finds the same."""

    finding: Finding
    name: str = "fixed"
    title: str = "Something fixed"
    makes: str = ""

    def check(self) -> Finding:
        return self.finding

    def do(self) -> None:
        """It does nothing."""
