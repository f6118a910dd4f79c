"""Launch templates, which say how nodes are made."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, ClassVar

from sandbox.providers.aws.ec2 import Ec2Resource
from sandbox.providers.aws.resource import Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import from_aws, pairs, pruned, tag_map, to_aws
from sandbox.providers.base import Properties

_DATA = frozenset(
    {
        "blockDeviceMappings",
        "imageId",
        "instanceType",
        "metadataOptions",
        "monitoring",
        "tagSpecifications",
        "userData",
        "vpcSecurityGroupIds",
    }
)
_NAMES = {"vpcSecurityGroupIds": "SecurityGroupIds"}
# The package has these as texts.
_FLAGS = ("deleteOnTermination", "encrypted")


class LaunchTemplate(Ec2Resource):
    """`aws:ec2/launchTemplate:LaunchTemplate`; each change makes a new version of it."""

    schema = Schema(
        token="aws:ec2/launchTemplate:LaunchTemplate",
        inputs=_DATA | {"description", "name", "namePrefix", "tags", "updateDefaultVersion"},
        computed=frozenset({"arn", "defaultVersion", "latestVersion"}),
        local=frozenset({"updateDefaultVersion"}),
        name=AutoName(longest=125),
    )
    created_with = schema.known
    missing = frozenset(
        {
            "InvalidLaunchTemplateId.NotFound",
            "InvalidLaunchTemplateId.NotFoundException",
            "InvalidLaunchTemplateName.NotFoundException",
        }
    )
    describe, ids, found, kind = "describe_launch_templates", "LaunchTemplateIds", "LaunchTemplates", "launch-template"
    attributes: ClassVar[Mapping[str, str]] = {
        "defaultVersion": "DefaultVersionNumber",
        "latestVersion": "LatestVersionNumber",
        "name": "LaunchTemplateName",
    }

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the template with its first version."""
        made = scope.client("ec2").create_launch_template(
            LaunchTemplateName=inputs["name"],
            LaunchTemplateData=_data(inputs),
            **pruned({"VersionDescription": inputs.get("description")}),
            **self.tagging(inputs),
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """What its latest version says."""
        latest = scope.client("ec2").describe_launch_template_versions(LaunchTemplateId=id, Versions=["$Latest"])
        (version,) = latest["LaunchTemplateVersions"]
        return {
            "arn": self.arn(scope, id),
            "description": version.get("VersionDescription") or "",
            **dict.fromkeys(sorted(_DATA), ""),
            **_found(version["LaunchTemplateData"], self.kind),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Make a new version, the default one when that is asked for, or change the tags."""
        ec2 = scope.client("ec2")
        if changed & {*_DATA, "description"}:
            made = ec2.create_launch_template_version(
                LaunchTemplateId=id,
                LaunchTemplateData=_data(inputs),
                **pruned({"VersionDescription": inputs.get("description")}),
            )
            if inputs.get("updateDefaultVersion"):
                number = str(made["LaunchTemplateVersion"]["VersionNumber"])
                ec2.modify_launch_template(LaunchTemplateId=id, DefaultVersion=number)
        super().apply(scope, id, inputs, changed)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the template with its versions."""
        scope.client("ec2").delete_launch_template(LaunchTemplateId=id)


def _data(inputs: Properties) -> dict[str, Any]:
    asked = {key: value for key, value in inputs.items() if key in _DATA and key != "tagSpecifications"}
    data: dict[str, Any] = to_aws(_typed(asked), _NAMES)
    specifications = inputs.get("tagSpecifications") or []
    if specifications:
        data["TagSpecifications"] = [
            {"ResourceType": each["resourceType"], "Tags": pairs(each.get("tags"))} for each in specifications
        ]
    return data


def _typed(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _typed(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if key in _FLAGS:
        return str(value).lower() == "true"
    return int(value) if isinstance(value, float) else value


def _texts(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _texts(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return str(value).lower() if key in _FLAGS else value


def _found(data: Mapping[str, Any], kind: str) -> Properties:
    """A version's data as outputs, without the tags of the template itself."""
    named = from_aws({key: value for key, value in data.items() if key != "TagSpecifications"}, _NAMES)
    found: Properties = pruned(_texts({key: value for key, value in named.items() if key in _DATA}))
    specifications = [
        {"resourceType": each["ResourceType"], "tags": tag_map(each.get("Tags"))}
        for each in data.get("TagSpecifications", [])
        if each["ResourceType"] != kind
    ]
    return {**found, "tagSpecifications": specifications}
