"""What the cluster's program declares: Pulumi's mocks take the engine's place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pulumi
from aphex_platform.cluster_program import cluster_program
from pulumi.runtime import get_root_resource, sync_await
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, set_mocks
from pulumi.runtime.stack import Stack, run_pulumi_func

from aphex.cluster_config import ClusterConfig
from tests.support.declared import Recorder, WatchingMonitor

ZONES = ["eu-west-1c", "eu-west-1a", "eu-west-1b", "eu-west-1d"]
ISSUER = "oidc.eks.eu-west-1.amazonaws.com/id/ABCDEF0123456789"
CLIENT_SECRET = "sesame-client"


@dataclass
class ClusterRecorder(Recorder):
    """Answers as AWS and EKS would, and remembers also what the program told at its end.

    Attributes:
        outputs: the stack's outputs.
    """

    outputs: dict[str, Any] = field(default_factory=dict)

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ == "eks:index:Cluster":
            self.declared.append(args)
            return None, {
                **args.inputs,
                "kubeconfigJson": '{"kind": "Config"}',
                "oidcProviderUrl": f"https://{ISSUER}",
                "oidcProviderArn": f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}",
            }
        if args.typ.startswith("kubernetes:") and "metadata" in args.inputs:
            return super().new_resource(args)
        self.declared.append(args)
        state = {**args.inputs, "arn": f"arn:aws:test:::{args.name}"}
        if args.typ == "aws:ecr/repository:Repository":
            state["repositoryUrl"] = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{args.inputs['name']}"
        if args.typ == "aws:ec2/launchTemplate:LaunchTemplate":
            state["latestVersion"] = 1
        return f"{args.name}-id", state

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        answers: dict[str, dict[str, Any]] = {
            "aws:index/getAvailabilityZones:getAvailabilityZones": {"names": ZONES},
            "aws:secretsmanager/getSecretVersion:getSecretVersion": {"secretString": CLIENT_SECRET},
        }
        return answers[args.token], []


def declare_cluster(config: ClusterConfig) -> ClusterRecorder:
    """Run the program of a cluster. What equal clusters declare is shared: nobody may change it."""
    return _declared(config.model_dump_json())


def declare(program: Callable[[], None]) -> ClusterRecorder:
    """Run any program that makes a cluster."""
    recorder = ClusterRecorder()
    set_mocks(recorder, project="aphex", stack="cluster-main", monitor=WatchingMonitor(recorder))

    async def run() -> None:
        root = get_root_resource()
        assert isinstance(root, Stack)
        root.outputs.clear()
        await run_pulumi_func(program)
        for name, value in root.outputs.items():
            recorder.outputs[name] = await pulumi.Output.from_input(value).future()

    sync_await._sync_await(run())
    return recorder


@cache
def _declared(config: str) -> ClusterRecorder:
    return declare(cluster_program(ClusterConfig.model_validate_json(config)))
