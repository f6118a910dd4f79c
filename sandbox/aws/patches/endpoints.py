"""The routes of a gateway endpoint follow its route tables, and an endpoint can be removed again.

moto gives the tables that an endpoint begins with its routes, but not those that it gets later; then it looks for these
when the endpoint is removed, and does not find them.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.vpcs import VPCEndPoint

_modify_original = VPCEndPoint.modify
_delete_original = EC2Backend.delete_vpc_endpoints


def _modify(self: VPCEndPoint, *arguments: Any, **options: Any) -> None:
    before = set(self.route_table_ids or [])
    _modify_original(self, *arguments, **options)
    prefixes = self.destination_prefix_list_id
    after = set(self.route_table_ids or [])
    for table in sorted(before - after):
        self.ec2_backend.delete_route(table, prefixes)
    for table in sorted(after - before):
        self.ec2_backend.create_route(table, None, destination_prefix_list_id=prefixes, gateway_id=self.id)


def _delete(self: EC2Backend, vpce_ids: list[str] | None = None) -> None:
    known = self.vpc_end_points
    _delete_original(self, [each for each in vpce_ids or [] if each in known and known[each].state != "deleted"])


def apply() -> None:
    """Put these in the place of moto's own."""
    setattr(VPCEndPoint, "modify", _modify)  # noqa: B010 - mypy refuses the plain form
    setattr(EC2Backend, "delete_vpc_endpoints", _delete)  # noqa: B010
