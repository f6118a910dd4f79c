"""What the pipeline's program declares: Pulumi's mocks take the engine's place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aphex_platform.program import pipeline_program
from aphex_platform.settings import PlatformSecrets, PlatformSettings
from pulumi.runtime import sync_await
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.rpc import is_rpc_secret, unwrap_rpc_secret
from pulumi.runtime.stack import run_pulumi_func

from aphex.config import PipelineConfig
from tests.support.example import example_config, example_secrets

ACCOUNT, REGION = "123456789012", "us-east-1"
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}"


def arn_of(kind: str, name: str, path: str) -> str:
    """The ARN that AWS would give a resource."""
    services = {
        "aws:s3/bucket:Bucket": f"arn:aws:s3:::{name}",
        "aws:kms/key:Key": KEY_ARN,
        "aws:iam/policy:Policy": f"arn:aws:iam::{ACCOUNT}:policy{path}{name}",
        "aws:iam/role:Role": f"arn:aws:iam::{ACCOUNT}:role/{name}",
    }
    return services.get(kind, f"arn:aws:test:{REGION}:{ACCOUNT}:{name}")


@dataclass
class Recorder(Mocks):
    """Remembers what was declared and answers as AWS and Kubernetes would.

    Attributes:
        declared: every resource.
        called: every function.
        protected: the types of resources that the engine is told not to delete.
        after: the URNs of what the engine makes before a resource, by its type and name.
    """

    declared: list[MockResourceArgs] = field(default_factory=list)
    called: list[MockCallArgs] = field(default_factory=list)
    protected: list[str] = field(default_factory=list)
    after: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.declared.append(args)
        state = dict(args.inputs)
        metadata = state.get("metadata", {})
        if args.typ.startswith("kubernetes:"):
            return "/".join(filter(None, (metadata.get("namespace"), metadata["name"]))), state
        name = state.get("bucket") or state.get("name") or args.name
        state.setdefault("name", name)
        state["arn"] = arn_of(args.typ, name, state.get("path", "/"))
        if args.typ == "aws:kms/key:Key":
            state["keyId"] = KEY_ID
        return name, state

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        self.called.append(args)
        if args.token == "aws:secretsmanager/getSecretVersion:getSecretVersion":
            return {"secretString": f"sesame-of-{args.args['secretId']}"}, []
        return {}, []

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each.inputs for each in self.declared if each.typ == kind]

    def one(self, kind: str) -> dict[str, Any]:
        (found,) = self.of(kind)
        return found

    def by(self, property: str, kind: str) -> dict[str, dict[str, Any]]:
        """Resources of a kind by the value of one of their inputs, which no two have in common."""
        found = {each[property]: each for each in self.of(kind)}
        assert len(found) == len(self.of(kind))
        return found

    def named(self, kind: str) -> dict[str, dict[str, Any]]:
        return {each["metadata"]["name"]: each for each in self.of(kind)}

    def secret(self, name: str, key: str) -> str:
        """A Secret's value, which the engine gets marked as one."""
        data = self.named("kubernetes:core/v1:Secret")[name]["stringData"]
        assert is_rpc_secret(data)
        return str(unwrap_rpc_secret(data)[key])


class WatchingMonitor(MockMonitor):
    """Pulumi's stand-in for the engine, which also looks at what mocks are not told of."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._recorder = recorder

    def RegisterResource(self, request: Any) -> Any:
        if request.protect:
            self._recorder.protected.append(request.type)
        self._recorder.after[request.type, request.name] = list(request.dependencies)
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def declare(
    settings: PlatformSettings, secrets: PlatformSecrets | None = None, config: PipelineConfig | None = None
) -> Recorder:
    recorder = Recorder()
    set_mocks(recorder, project="aphex", stack="shop", monitor=WatchingMonitor(recorder))
    program = pipeline_program(config or example_config(), settings, secrets or example_secrets())

    async def run() -> None:
        await run_pulumi_func(program)

    sync_await._sync_await(run())
    return recorder
