"""An identity provider's audiences can be changed one by one, which moto has no actions for."""

from __future__ import annotations

from moto.core.responses import ActionResult, EmptyResult
from moto.iam.responses import IamResponse


def _audiences(self: IamResponse) -> list[str]:
    arn = self._get_param("OpenIDConnectProviderArn")
    found: list[str] = self.backend.get_open_id_connect_provider(arn).client_id_list
    return found


def _add(self: IamResponse) -> ActionResult:
    audiences, name = _audiences(self), self._get_param("ClientID")
    if name not in audiences:
        audiences.append(name)
    return EmptyResult()


def _remove(self: IamResponse) -> ActionResult:
    audiences, name = _audiences(self), self._get_param("ClientID")
    audiences[:] = [each for each in audiences if each != name]
    return EmptyResult()


def apply() -> None:
    """Give moto's IAM the two actions."""
    setattr(IamResponse, "add_client_id_to_open_id_connect_provider", _add)  # noqa: B010 - mypy refuses the plain form
    setattr(IamResponse, "remove_client_id_from_open_id_connect_provider", _remove)  # noqa: B010
