"""IAM roles and policies. IAM has no regions."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

import json
from collections.abc import Set
from typing import Any
from urllib.parse import unquote

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import pairs, stale, tag_map
from sandbox.providers.base import Properties

_GONE = frozenset({"NoSuchEntity"})
_VERSIONS = 5


class Role(ResourceType):
    """`aws:iam/role:Role`; its id is its name."""

    schema = Schema(
        token="aws:iam/role:Role",
        inputs=frozenset(
            {
                "assumeRolePolicy",
                "description",
                "forceDetachPolicies",
                "maxSessionDuration",
                "name",
                "namePrefix",
                "path",
                "permissionsBoundary",
                "tags",
            }
        ),
        required=frozenset({"assumeRolePolicy"}),
        replaces=frozenset({"path"}),
        computed=frozenset({"arn", "createDate", "managedPolicyArns", "uniqueId"}),
        defaults={"forceDetachPolicies": False, "maxSessionDuration": 3600, "path": "/"},
        local=frozenset({"forceDetachPolicies"}),
        documents=frozenset({"assumeRolePolicy"}),
        name=AutoName(longest=64),
        regional=False,
    )
    created_with = schema.inputs
    missing = _GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the role with its trust policy."""
        options: dict[str, Any] = {
            "RoleName": inputs["name"],
            "Path": inputs["path"],
            "AssumeRolePolicyDocument": inputs["assumeRolePolicy"],
            "Description": inputs.get("description", ""),
            "MaxSessionDuration": int(inputs["maxSessionDuration"]),
            "Tags": pairs(inputs.get("tags")),
        }
        if inputs.get("permissionsBoundary"):
            options["PermissionsBoundary"] = inputs["permissionsBoundary"]
        return str(scope.client("iam").create_role(**options)["Role"]["RoleName"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The role and the policies attached to it."""
        iam = scope.client("iam")
        role = iam.get_role(RoleName=id)["Role"]
        attached = _attached(iam, id)
        return {
            "name": role["RoleName"],
            "arn": role["Arn"],
            "uniqueId": role["RoleId"],
            "createDate": role["CreateDate"].isoformat(),
            "path": role["Path"],
            "description": role.get("Description", ""),
            "maxSessionDuration": role.get("MaxSessionDuration", 3600),
            "assumeRolePolicy": _document(role["AssumeRolePolicyDocument"]),
            "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
            "managedPolicyArns": sorted(attached),
            "tags": tag_map(iam.list_role_tags(RoleName=id)["Tags"]),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change the trust policy, the description, the session's length, the boundary or the tags."""
        iam = scope.client("iam")
        if "assumeRolePolicy" in changed:
            iam.update_assume_role_policy(RoleName=id, PolicyDocument=inputs["assumeRolePolicy"])
        if changed & {"description", "maxSessionDuration"}:
            iam.update_role(
                RoleName=id,
                Description=inputs.get("description", ""),
                MaxSessionDuration=int(inputs["maxSessionDuration"]),
            )
        if "permissionsBoundary" in changed:
            if inputs.get("permissionsBoundary"):
                iam.put_role_permissions_boundary(RoleName=id, PermissionsBoundary=inputs["permissionsBoundary"])
            else:
                iam.delete_role_permissions_boundary(RoleName=id)
        if "tags" in changed:
            old = stale(tag_map(iam.list_role_tags(RoleName=id)["Tags"]), inputs.get("tags"))
            if old:
                iam.untag_role(RoleName=id, TagKeys=old)
            if inputs.get("tags"):
                iam.tag_role(RoleName=id, Tags=pairs(inputs["tags"]))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the role, and with `forceDetachPolicies` its policies before."""
        iam = scope.client("iam")
        if outputs.get("forceDetachPolicies"):
            for arn in _attached(iam, id):
                iam.detach_role_policy(RoleName=id, PolicyArn=arn)
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=id):
                for name in page["PolicyNames"]:
                    iam.delete_role_policy(RoleName=id, PolicyName=name)
        iam.delete_role(RoleName=id)


class RolePolicy(ResourceType):
    """`aws:iam/rolePolicy:RolePolicy`, a policy inside a role; its id is `ROLE:NAME`."""

    schema = Schema(
        token="aws:iam/rolePolicy:RolePolicy",
        inputs=frozenset({"name", "namePrefix", "policy", "role"}),
        required=frozenset({"policy", "role"}),
        replaces=frozenset({"role"}),
        documents=frozenset({"policy"}),
        name=AutoName(longest=128),
        regional=False,
    )
    created_with = schema.inputs
    missing = _GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Put the policy into its role."""
        self._put(scope, inputs["role"], inputs["name"], inputs["policy"])
        return f"{inputs['role']}:{inputs['name']}"

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The policy's document."""
        role, name = id.split(":", 1)
        found = scope.client("iam").get_role_policy(RoleName=role, PolicyName=name)
        return {"role": role, "name": name, "policy": _document(found["PolicyDocument"])}

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Put the new document over the old one."""
        if "policy" in changed:
            role, name = id.split(":", 1)
            self._put(scope, role, name, inputs["policy"])

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Take the policy out of its role."""
        role, name = id.split(":", 1)
        scope.client("iam").delete_role_policy(RoleName=role, PolicyName=name)

    def _put(self, scope: Scope, role: str, name: str, policy: str) -> None:
        scope.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy)


class Policy(ResourceType):
    """`aws:iam/policy:Policy`, a policy of its own; its id is its ARN."""

    schema = Schema(
        token="aws:iam/policy:Policy",
        inputs=frozenset({"description", "name", "namePrefix", "path", "policy", "tags"}),
        required=frozenset({"policy"}),
        replaces=frozenset({"description", "path"}),
        computed=frozenset({"arn", "attachmentCount", "policyId"}),
        defaults={"path": "/"},
        documents=frozenset({"policy"}),
        name=AutoName(longest=128),
        regional=False,
    )
    created_with = schema.inputs
    missing = _GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the policy."""
        created = scope.client("iam").create_policy(
            PolicyName=inputs["name"],
            Path=inputs["path"],
            PolicyDocument=inputs["policy"],
            Description=inputs.get("description", ""),
            Tags=pairs(inputs.get("tags")),
        )
        return str(created["Policy"]["Arn"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The policy with the document of its default version."""
        iam = scope.client("iam")
        policy = iam.get_policy(PolicyArn=id)["Policy"]
        version = iam.get_policy_version(PolicyArn=id, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
        return {
            "arn": policy["Arn"],
            "name": policy["PolicyName"],
            "path": policy["Path"],
            "policyId": policy["PolicyId"],
            "description": policy.get("Description", ""),
            "attachmentCount": policy.get("AttachmentCount", 0),
            "policy": _document(version["Document"]),
            "tags": tag_map(iam.list_policy_tags(PolicyArn=id)["Tags"]),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Make the new document the default version, and change the tags."""
        iam = scope.client("iam")
        if "policy" in changed:
            versions = self._versions(iam, id)
            if len(versions) >= _VERSIONS:
                oldest = min((item for item in versions if not item["IsDefaultVersion"]), key=_age)
                iam.delete_policy_version(PolicyArn=id, VersionId=oldest["VersionId"])
            iam.create_policy_version(PolicyArn=id, PolicyDocument=inputs["policy"], SetAsDefault=True)
        if "tags" in changed:
            old = stale(tag_map(iam.list_policy_tags(PolicyArn=id)["Tags"]), inputs.get("tags"))
            if old:
                iam.untag_policy(PolicyArn=id, TagKeys=old)
            if inputs.get("tags"):
                iam.tag_policy(PolicyArn=id, Tags=pairs(inputs["tags"]))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the policy's other versions and then the policy."""
        iam = scope.client("iam")
        for version in self._versions(iam, id):
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=id, VersionId=version["VersionId"])
        iam.delete_policy(PolicyArn=id)

    def _versions(self, iam: Any, arn: str) -> list[dict[str, Any]]:
        pages = iam.get_paginator("list_policy_versions").paginate(PolicyArn=arn)
        return [version for page in pages for version in page["Versions"]]


class RolePolicyAttachment(ResourceType):
    """`aws:iam/rolePolicyAttachment:RolePolicyAttachment`; its id is `ROLE/POLICY_ARN`."""

    schema = Schema(
        token="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        inputs=frozenset({"policyArn", "role"}),
        required=frozenset({"policyArn", "role"}),
        replaces=frozenset({"policyArn", "role"}),
        regional=False,
    )
    created_with = schema.inputs
    missing = _GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Attach the policy to the role."""
        scope.client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return f"{inputs['role']}/{inputs['policyArn']}"

    def read(self, scope: Scope, id: str) -> Properties | None:
        """Whether the policy is attached."""
        role, arn = id.split("/", 1)
        return {"role": role, "policyArn": arn} if arn in _attached(scope.client("iam"), role) else None

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Detach the policy."""
        role, arn = id.split("/", 1)
        scope.client("iam").detach_role_policy(RoleName=role, PolicyArn=arn)


def _attached(iam: Any, role: str) -> list[str]:
    pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
    return [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]


def _document(value: Any) -> str:
    # botocore decodes documents to maps where it can; IAM itself sends them percent-encoded.
    return unquote(value) if isinstance(value, str) else json.dumps(value)


def _age(version: dict[str, Any]) -> Any:
    return version["CreateDate"], int(version["VersionId"].lstrip("v"))
