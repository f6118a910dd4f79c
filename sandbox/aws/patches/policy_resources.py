"""IAM policies are judged by the key, table or policy that a request is about.

With its IAM checks switched on moto asks policies about the resource of S3, STS and role requests alone. For all others
it asks about "*", which no policy allows that names a resource, so that everybody with few rights has none at all.
"""

from __future__ import annotations

from moto.dynamodb.responses import DynamoHandler
from moto.iam.responses import IamResponse
from moto.kms.models import KmsBackend
from moto.kms.responses import KmsResponse
from moto.utilities.utils import get_partition

_roles_original = IamResponse._determine_resource


def _key(self: KmsResponse) -> str:
    asked = self._get_param("KeyId")
    if not asked:
        return "*"
    backend: KmsBackend = self.kms_backend
    by_alias = asked.startswith("alias/") or ":alias/" in asked
    found = backend.get_key_id_from_alias(backend.get_alias_name(asked)) if by_alias else backend.get_key_id(asked)
    key = backend.keys.get(found or "")
    return key.arn if key is not None else "*"


def _table(self: DynamoHandler) -> str:
    name = self.body.get("TableName") if isinstance(self.body, dict) else None
    if not name:
        return "*"
    if name.startswith("arn:"):
        return str(name)
    return f"arn:{get_partition(self.region)}:dynamodb:{self.region}:{self.current_account}:table/{name}"


def _role_or_policy(self: IamResponse) -> str:
    role = _roles_original(self)
    if role != "*":
        return role
    arn = self._get_param("PolicyArn")
    name = self._get_param("PolicyName")
    if arn or not name:
        return str(arn or "*")
    path = self._get_param("Path") or "/"
    return f"arn:{self.partition}:iam::{self.current_account}:policy{path}{name}"


def apply() -> None:
    """Have moto ask about these resources."""
    setattr(KmsResponse, "_determine_resource", _key)  # noqa: B010 - mypy refuses the plain form
    setattr(DynamoHandler, "_determine_resource", _table)  # noqa: B010
    setattr(IamResponse, "_determine_resource", _role_or_policy)  # noqa: B010
