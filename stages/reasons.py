"""What ended a pod that could not say it itself: Kubernetes' and Argo's words, in plain ones, with what to do.

The words are those of Kubernetes' container states and pod messages (kubelet: OOMKilled, ErrImagePull,
ImagePullBackOff, CreateContainerConfigError, "The node was low on resource", "imminent node shutdown"), and of Argo's
controller (workflow/controller: inferFailedReason and getPendingReason in operator.go, exec_control.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Why a pod ended.

    Attributes:
        kind: one word for it, the error's type.
        message: what happened.
        hint: what to do.
    """

    kind: str
    message: str
    hint: str


_KNOWN: tuple[tuple[re.Pattern[str], Reason], ...] = (
    (
        re.compile(r"is forbidden|admission webhook", re.IGNORECASE),
        Reason(
            "PodRefused",
            "The cluster did not let the stage's pod be made.",
            "Change the quota, limit or policy that it names, or what the stages ask for in the platform's settings "
            "(run.resources).",
        ),
    ),
    (
        re.compile(r"OOMKilled", re.IGNORECASE),
        Reason(
            "OutOfMemory",
            "The pod used more memory than its limit and was killed (OOMKilled).",
            "Raise the stages' memory limit in the platform's settings (run.resources), or let the commands use less: "
            "fewer parallel jobs, NODE_OPTIONS=--max-old-space-size=….",
        ),
    ),
    (
        re.compile(r"ephemeral[- ](?:local )?storage|DiskPressure|usage of EmptyDir volume", re.IGNORECASE),
        Reason(
            "OutOfDisk",
            "The pod was evicted because it or its node ran out of disk.",
            "Raise the stages' ephemeral storage limit in the platform's settings (run.resources), give the nodes "
            "larger disks, or let the build leave less behind.",
        ),
    ),
    (
        re.compile(r"\bevict|node was low on resource|node had condition", re.IGNORECASE),
        Reason(
            "Evicted",
            "The pod was evicted from its node.",
            "The node was short of memory or disk, or was drained. Start the run again; if it happens often, raise "
            "the stages' requests so that they get nodes with room.",
        ),
    ),
    (
        re.compile(r"preempt|node.*shut ?down|Terminated in response to imminent node", re.IGNORECASE),
        Reason(
            "NodeGone",
            "The pod's node was taken away while the stage ran.",
            "Start the run again. Nodes that may be taken away, such as spot instances, suit no long deployments.",
        ),
    ),
    (
        re.compile(r"ImagePullBackOff|ErrImagePull|InvalidImageName|ImageInspectError|pull.*image", re.IGNORECASE),
        Reason(
            "ImageNotPulled",
            "The stage's image could not be pulled.",
            "Does the image of pipeline.images, or of the platform's settings, exist for the nodes' architecture, and "
            "may the nodes pull it?",
        ),
    ),
    (
        re.compile(r"CreateContainerConfigError|CreateContainerError|RunContainerError|StartError", re.IGNORECASE),
        Reason(
            "NotStarted",
            "The stage's container could not be started.",
            "A Secret or ConfigMap that it mounts may be gone, or the image lacks /opt/aphex/bin/python. "
            "`kubectl describe pod` of the pod says which.",
        ),
    ),
    (
        re.compile(r"unschedulable|insufficient (?:cpu|memory)|nodes are available|enough resource", re.IGNORECASE),
        Reason(
            "Unschedulable",
            "No node had room for the stage's pod.",
            "Let the cluster grow, or lower the stages' requests in the platform's settings (run.resources).",
        ),
    ),
    (
        re.compile(r"deadline|exceeded its|duration limit|timed ?out", re.IGNORECASE),
        Reason(
            "DeadlineExceeded",
            "The stage or the run took longer than it may, and was stopped.",
            "Look at the end of its log for what it waited for; run.stage_deadline_seconds and run.deadline_seconds "
            "in the platform's settings are the limits.",
        ),
    ),
    (
        re.compile(
            r"pod deleted|pod was deleted|pod.*not found|node ?lost|node is not ready|is unresponsive", re.IGNORECASE
        ),
        Reason(
            "PodDeleted",
            "The stage's pod was deleted while it ran.",
            "Somebody deleted it, or its node went away. Start the run again; what was deployed stays, and is found "
            "to be unchanged.",
        ),
    ),
    (
        re.compile(r"workflow shutdown|stopped with strategy|^terminated$", re.IGNORECASE),
        Reason("Stopped", "The run was stopped by hand.", "Start it again when it should go on."),
    ),
    (
        re.compile(r"exit code 137|SIGKILL", re.IGNORECASE),
        Reason(
            "Killed",
            "The stage's process was killed (exit code 137).",
            "Usually it used more memory than its limit: see run.resources in the platform's settings.",
        ),
    ),
)


def explained(message: str) -> Reason:
    """Why a pod ended, from what Argo says of its node; the words of Argo are kept."""
    said = " ".join(message.split())
    if not said:
        return Reason(
            "PodEnded",
            "Its pod ended before it could say why.",
            "The pod's events, if it is still there, tell more: kubectl describe pod.",
        )
    for form, reason in _KNOWN:
        if form.search(said):
            return Reason(reason.kind, f"{reason.message}\n{said}", reason.hint)
    return Reason("PodEnded", said, "The stage's log, as far as it came, is in the bucket.")
