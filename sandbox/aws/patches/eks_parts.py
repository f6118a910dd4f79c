"""EKS clusters have add-ons, access entries and pod identity associations, and everything of theirs has tags.

moto has clusters, node groups and Fargate profiles alone, and tags of clusters alone. The parts are kept in the
cluster as the API describes them, and go with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.eks import urls
from moto.eks.exceptions import InvalidParameterException, ResourceInUseException, ResourceNotFoundException
from moto.eks.models import Cluster, EKSBackend
from moto.eks.responses import EKSResponse
from moto.moto_api._internal import mock_random

_PATHS = ("access-entries", "addons", "pod-identity-associations", "updates")
_LATEST = "v1.0.0-eksbuild.1"
_POLICIES = ":aws:cluster-access-policy/"

Part = dict[str, Any]


def parts(cluster: Cluster, kind: str) -> dict[str, Part]:
    """The cluster's parts of a kind, by their key."""
    found: dict[str, Part] = vars(cluster).setdefault(f"aphex_{kind}", {})
    return found


def _cluster(self: EKSResponse) -> Cluster:
    return self.eks_backend.describe_cluster(name=self._get_param("name"))


def _find(self: EKSResponse, kind: str, key: str) -> Part:
    found = parts(_cluster(self), kind).get(key)
    if found is None:
        raise ResourceNotFoundException(message=f"No {kind} found for {key} in cluster {self._get_param('name')}.")
    return found


def _add(self: EKSResponse, kind: str, key: str, part: Part) -> None:
    known = parts(_cluster(self), kind)
    if key in known:
        raise ResourceInUseException(message=f"The {kind} {key} already exists in this cluster.")
    known[key] = part


def _given(self: EKSResponse, *names: str) -> Part:
    """The parameters that the request has, by name."""
    values = {name: self._get_param(name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _arn(self: EKSResponse, kind: str, key: str) -> str:
    backend, name = self.eks_backend, self._get_param("name")
    return f"arn:{backend.partition}:eks:{backend.region_name}:{backend.account_id}:{kind}/{name}/{key}"


def _born() -> Part:
    return {"createdAt": utcnow(), "modifiedAt": utcnow()}


def _update(kind: str) -> Part:
    return {
        "id": str(mock_random.uuid4()),
        "status": "Successful",
        "type": kind,
        "params": [],
        "createdAt": utcnow(),
        "errors": [],
    }


class Parts:
    """The actions, as methods that moto's class of responses is given."""

    def create_pod_identity_association(self: Any) -> ActionResult:
        """One role for a service account, at most."""
        names = ("namespace", "serviceAccount", "roleArn", "tags", "disableSessionTags", "targetRoleArn", "policy")
        return ActionResult({"association": _associate(self, _given(self, *names))})

    def describe_pod_identity_association(self: Any) -> ActionResult:
        """One association."""
        return ActionResult({"association": _find(self, "association", self._get_param("associationId"))})

    def update_pod_identity_association(self: Any) -> ActionResult:
        """Another role, or other session tags."""
        part = _find(self, "association", self._get_param("associationId"))
        part |= _given(self, "roleArn", "disableSessionTags", "targetRoleArn", "policy")
        part["modifiedAt"] = utcnow()
        return ActionResult({"association": part})

    def delete_pod_identity_association(self: Any) -> ActionResult:
        """Remove it."""
        part = _find(self, "association", self._get_param("associationId"))
        del parts(_cluster(self), "association")[part["associationId"]]
        return ActionResult({"association": part})

    def list_pod_identity_associations(self: Any) -> ActionResult:
        """Those of a namespace or service account, when these are given."""
        wanted = _given(self, "namespace", "serviceAccount")
        found = [part for part in parts(_cluster(self), "association").values() if wanted.items() <= part.items()]
        return ActionResult({"associations": found})

    def create_access_entry(self: Any) -> ActionResult:
        """One entry for a principal."""
        principal = self._get_param("principalArn")
        part = {
            "clusterName": self._get_param("name"),
            "principalArn": principal,
            "accessEntryArn": _arn(self, "access-entry", f"{principal.split(':', 5)[5]}/{mock_random.uuid4()}"),
            "kubernetesGroups": [],
            "tags": {},
            "username": principal,
            "type": "STANDARD",
            **_given(self, "kubernetesGroups", "tags", "username", "type"),
            **_born(),
        }
        _add(self, "access entry", principal, part)
        return ActionResult({"accessEntry": part})

    def describe_access_entry(self: Any) -> ActionResult:
        """One entry."""
        return ActionResult({"accessEntry": _find(self, "access entry", self._get_param("principalArn"))})

    def update_access_entry(self: Any) -> ActionResult:
        """Other groups, or another user name."""
        part = _find(self, "access entry", self._get_param("principalArn"))
        part |= {**_given(self, "kubernetesGroups", "username"), "modifiedAt": utcnow()}
        return ActionResult({"accessEntry": part})

    def delete_access_entry(self: Any) -> EmptyResult:
        """Remove it with its policies."""
        principal = _find(self, "access entry", self._get_param("principalArn"))["principalArn"]
        del parts(_cluster(self), "access entry")[principal]
        return EmptyResult()

    def list_access_entries(self: Any) -> ActionResult:
        """The principals that have an entry."""
        return ActionResult({"accessEntries": sorted(parts(_cluster(self), "access entry"))})

    def associate_access_policy(self: Any) -> ActionResult:
        """Give a principal a policy, or the policy another scope."""
        entry = _find(self, "access entry", self._get_param("principalArn"))
        arn = self._get_param("policyArn")
        if _POLICIES not in arn:
            raise InvalidParameterException(message=f"The policyArn {arn} is not valid.")
        known = entry.setdefault("policies", {})
        first = known.get(arn, {}).get("associatedAt") or utcnow()
        scope = {"namespaces": [], **self._get_param("accessScope")}
        known[arn] = {"policyArn": arn, "accessScope": scope, "associatedAt": first, "modifiedAt": utcnow()}
        return ActionResult(
            {**_given(self, "principalArn"), "clusterName": entry["clusterName"], "associatedAccessPolicy": known[arn]}
        )

    def disassociate_access_policy(self: Any) -> EmptyResult:
        """Take a policy from a principal."""
        known = _find(self, "access entry", self._get_param("principalArn")).get("policies", {})
        if known.pop(self._get_param("policyArn"), None) is None:
            raise ResourceNotFoundException(message="The access policy is not associated with the principal.")
        return EmptyResult()

    def list_associated_access_policies(self: Any) -> ActionResult:
        """The policies of a principal."""
        entry = _find(self, "access entry", self._get_param("principalArn"))
        found = list(entry.get("policies", {}).values())
        return ActionResult(
            {
                "clusterName": entry["clusterName"],
                "principalArn": entry["principalArn"],
                "associatedAccessPolicies": found,
            }
        )

    def create_addon(self: Any) -> ActionResult:
        """One add-on, active at once."""
        name = self._get_param("addonName")
        part = {
            "clusterName": self._get_param("name"),
            "addonName": name,
            "addonArn": _arn(self, "addon", f"{name}/{mock_random.uuid4()}"),
            "addonVersion": _LATEST,
            "status": "ACTIVE",
            "health": {"issues": []},
            "tags": {},
            **_given(self, "addonVersion", "serviceAccountRoleArn", "tags", "configurationValues", "namespaceConfig"),
            **_born(),
        }
        _add(self, "addon", name, part)
        part["podIdentityAssociations"] = _own_roles(self, part, self._get_param("podIdentityAssociations") or [])
        return ActionResult({"addon": part})

    def describe_addon(self: Any) -> ActionResult:
        """One add-on."""
        return ActionResult({"addon": _find(self, "addon", self._get_param("addonName"))})

    def update_addon(self: Any) -> ActionResult:
        """Another version or configuration."""
        part = _find(self, "addon", self._get_param("addonName"))
        part |= _given(self, "addonVersion", "serviceAccountRoleArn", "configurationValues")
        roles = self._get_param("podIdentityAssociations")
        if roles is not None:
            part["podIdentityAssociations"] = _own_roles(self, part, roles)
        part["modifiedAt"] = utcnow()
        return ActionResult({"update": _update("AddonUpdate")})

    def delete_addon(self: Any) -> ActionResult:
        """Remove it."""
        part = _find(self, "addon", self._get_param("addonName"))
        _own_roles(self, part, [])
        del parts(_cluster(self), "addon")[part["addonName"]]
        return ActionResult({"addon": part})

    def describe_addon_versions(self: Any) -> ActionResult:
        """Two versions of any add-on for each version of Kubernetes; the older one is the default."""
        name, kubernetes = self._get_param("addonName"), self._get_param("kubernetesVersion")
        versions = [
            {
                "addonVersion": f"v{kubernetes}.{patch}-eksbuild.1",
                "architecture": ["amd64", "arm64"],
                "compatibilities": [
                    {"clusterVersion": kubernetes, "platformVersions": ["*"], "defaultVersion": not patch}
                ],
            }
            for patch in (1, 0)
        ]
        return ActionResult({"addons": [{"addonName": name, "addonVersions": versions}] if kubernetes else []})

    def list_addons(self: Any) -> ActionResult:
        """The names of all."""
        return ActionResult({"addons": sorted(parts(_cluster(self), "addon"))})


def _own_roles(self: EKSResponse, addon: Part, roles: list[dict[str, str]]) -> list[str]:
    """Give an add-on's service accounts exactly these roles, and return the associations' ARNs."""
    known = parts(_cluster(self), "association")
    for key in [key for key, part in known.items() if part.get("ownerArn") == addon["addonArn"]]:
        del known[key]
    return [
        _associate(self, {"namespace": "kube-system", "ownerArn": addon["addonArn"], **role})["associationArn"]
        for role in roles
    ]


def _associate(self: EKSResponse, given: Part) -> Part:
    """Give a service account its one role."""
    account = {key: given[key] for key in ("namespace", "serviceAccount")}
    for other in parts(_cluster(self), "association").values():
        if account.items() <= other.items():
            raise ResourceInUseException(message=f"Association already exists: {other['associationId']}")
    key = "a-" + mock_random.get_random_string(17, lower_case=True)
    part = {
        "clusterName": self._get_param("name"),
        "associationId": key,
        "associationArn": _arn(self, "podidentityassociation", key),
        "tags": {},
        **given,
        **_born(),
    }
    _add(self, "association", key, part)
    return part


def _tags(self: EKSBackend, resource_arn: str) -> dict[str, str]:
    for arn, tags in _tagged(self):
        if arn == resource_arn:
            return tags
    raise ResourceNotFoundException(message=f"The resource {resource_arn} was not found.")


def _tagged(self: EKSBackend) -> Iterator[tuple[str, dict[str, str]]]:
    for cluster in self.clusters.values():
        yield cluster.arn, cluster.tags
        for group in cluster.nodegroups.values():
            yield group.arn, group.tags
        for profile in cluster.fargate_profiles.values():
            yield profile.fargate_profile_arn, profile.tags
        for kind, name in (
            ("association", "associationArn"),
            ("access entry", "accessEntryArn"),
            ("addon", "addonArn"),
        ):
            for part in parts(cluster, kind).values():
                yield part[name], part["tags"]


def _tag(self: EKSBackend, resource_arn: str, tags: dict[str, str]) -> None:
    _tags(self, resource_arn).update(tags)


def _untag(self: EKSBackend, resource_arn: str, tag_keys: list[str] | str) -> None:
    tags = _tags(self, resource_arn)
    for key in [tag_keys] if isinstance(tag_keys, str) else tag_keys:
        tags.pop(key, None)


def apply() -> None:
    """Give moto's EKS the actions, and tags for everything."""
    for name, action in vars(Parts).items():
        if not name.startswith("_"):
            setattr(EKSResponse, name, action)
    for path in _PATHS:
        urls.url_paths[f"{{0}}/clusters/(?P<name>[^/]+)/{path}$"] = urls.response.dispatch
        urls.url_paths[f"{{0}}/clusters/(?P<name>[^/]+)/{path}/(?P<part>.+)$"] = urls.response.dispatch
    urls.url_paths["{0}/addons/supported-versions$"] = urls.response.dispatch
    setattr(EKSBackend, "tag_resource", _tag)  # noqa: B010 - mypy refuses the plain form
    setattr(EKSBackend, "untag_resource", _untag)  # noqa: B010
    setattr(EKSBackend, "list_tags_for_resource", _tags)  # noqa: B010
