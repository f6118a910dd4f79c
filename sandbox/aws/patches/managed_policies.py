"""AWS's own policies exist as soon as somebody asks for one.

moto has them all, but only when it loads every one of them for every account at its start, which takes seconds; else
nothing can be attached that AWS manages.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, IAMBackend

_attach_original = IAMBackend.attach_role_policy
_get_original = IAMBackend.get_policy
_get_version_original = IAMBackend.get_policy_version
_MANAGED = ":iam::aws:policy/"


@functools.cache
def _known() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(aws_managed_policies_data)
    return found


def _load(backend: IAMBackend, arn: str) -> None:
    name = arn.rpartition("/")[2]
    if _MANAGED not in arn or arn in backend.managed_policies or name not in _known():
        return
    policy = AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, _known()[name])
    if policy.arn == arn:
        backend.managed_policies[arn] = policy
        backend.aws_managed_policies.append(policy)


def _attach(self: IAMBackend, policy_arn: str, role_name: str) -> None:
    _load(self, policy_arn)
    _attach_original(self, policy_arn, role_name)


def _get(self: IAMBackend, policy_arn: str) -> Any:
    _load(self, policy_arn)
    return _get_original(self, policy_arn)


def _get_version(self: IAMBackend, policy_arn: str, version_id: str) -> Any:
    _load(self, policy_arn)
    return _get_version_original(self, policy_arn, version_id)


def apply() -> None:
    """Put these in the place of moto's own."""
    setattr(IAMBackend, "attach_role_policy", _attach)  # noqa: B010 - mypy refuses the plain form
    setattr(IAMBackend, "get_policy", _get)  # noqa: B010
    setattr(IAMBackend, "get_policy_version", _get_version)  # noqa: B010
