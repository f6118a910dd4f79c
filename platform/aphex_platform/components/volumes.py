"""Volumes of pods, such as those of event buses: encrypted, and in the zone of the pod that needs one."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

STORAGE_CLASS = "aphex"
_PROVISIONERS = {"auto": "ebs.csi.eks.amazonaws.com", "node-groups": "ebs.csi.aws.com"}


@dataclass(frozen=True, kw_only=True)
class VolumesArgs:
    """What volumes need to know: where nodes come from, which says who makes volumes."""

    mode: str


class Volumes(pulumi.ComponentResource):
    """The cluster's default StorageClass."""

    storage_class: pulumi.Output[str]

    def __init__(self, name: str, args: VolumesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:Volumes", name, None, opts)
        made = kubernetes.storage.v1.StorageClass(
            name,
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=STORAGE_CLASS, annotations={"storageclass.kubernetes.io/is-default-class": "true"}
            ),
            provisioner=_PROVISIONERS[args.mode],
            parameters={"type": "gp3", "encrypted": "true"},
            reclaim_policy="Delete",
            volume_binding_mode="WaitForFirstConsumer",
            allow_volume_expansion=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.storage_class = made.metadata["name"]
        self.register_outputs({"storage_class": self.storage_class})
