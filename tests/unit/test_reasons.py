"""What Kubernetes and Argo say of a pod that could not speak for itself, and what people are told of it."""

from __future__ import annotations

import pytest

from stages.reasons import Reason, explained

MEMORY = (
    "Raise the stages' memory limit in the platform's settings (run.resources), or let the commands use less: "
    "fewer parallel jobs, NODE_OPTIONS=--max-old-space-size=…."
)
DISK = (
    "Raise the stages' ephemeral storage limit in the platform's settings (run.resources), give the nodes larger "
    "disks, or let the build leave less behind."
)
EVICTED = (
    "The node was short of memory or disk, or was drained. Start the run again; if it happens often, raise the stages' "
    "requests so that they get nodes with room."
)
SPOT = "Start the run again. Nodes that may be taken away, such as spot instances, suit no long deployments."
IMAGE = (
    "Does the image of pipeline.images, or of the platform's settings, exist for the nodes' architecture, and may the "
    "nodes pull it?"
)
START = (
    "A Secret or ConfigMap that it mounts may be gone, or the image lacks /opt/aphex/bin/python. `kubectl describe "
    "pod` of the pod says which."
)
REFUSED = (
    "Change the quota, limit or policy that it names, or what the stages ask for in the platform's settings "
    "(run.resources)."
)
ROOM = "Let the cluster grow, or lower the stages' requests in the platform's settings (run.resources)."
DEADLINE = (
    "Look at the end of its log for what it waited for; run.stage_deadline_seconds and run.deadline_seconds in the "
    "platform's settings are the limits."
)
DELETED = (
    "Somebody deleted it, or its node went away. Start the run again; what was deployed stays, and is found to be "
    "unchanged."
)
LOG = "The stage's log, as far as it came, is in the bucket."
KINDS = {
    "PodRefused": ("The cluster did not let the stage's pod be made.", REFUSED),
    "OutOfMemory": ("The pod used more memory than its limit and was killed (OOMKilled).", MEMORY),
    "OutOfDisk": ("The pod was evicted because it or its node ran out of disk.", DISK),
    "Evicted": ("The pod was evicted from its node.", EVICTED),
    "NodeGone": ("The pod's node was taken away while the stage ran.", SPOT),
    "ImageNotPulled": ("The stage's image could not be pulled.", IMAGE),
    "NotStarted": ("The stage's container could not be started.", START),
    "Unschedulable": ("No node had room for the stage's pod.", ROOM),
    "DeadlineExceeded": ("The stage or the run took longer than it may, and was stopped.", DEADLINE),
    "PodDeleted": ("The stage's pod was deleted while it ran.", DELETED),
    "Stopped": ("The run was stopped by hand.", "Start it again when it should go on."),
    "Killed": (
        "The stage's process was killed (exit code 137).",
        "Usually it used more memory than its limit: see run.resources in the platform's settings.",
    ),
}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "PodRefused",
            'pods "shop-abc12-build-1" is forbidden: exceeded quota: team, requested: requests.memory=1Gi, used: '
            "requests.memory=3584Mi, limited: requests.memory=4Gi",
        ),
        (
            "PodRefused",
            'pods "shop-abc12-build-1" is forbidden: violates PodSecurity "restricted:latest": privileged (container '
            '"main" must not set securityContext.privileged=true)',
        ),
        ("PodRefused", 'admission webhook "validate.kyverno.svc-fail" denied the request: image is not signed'),
        ("OutOfMemory", "main: OOMKilled (exit code 137)"),
        ("OutOfMemory", "OOMKilled (exit code 137)"),
        ("Killed", "main: Error (exit code 137)"),
        (
            "Evicted",
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 17348Ki. Container main was "
            "using 2Gi, request is 512Mi, has larger consumption of memory.",
        ),
        ("Evicted", "Pod was rejected: The node had condition: [MemoryPressure]."),
        ("Evicted", "Evicted"),
        (
            "OutOfDisk",
            "The node was low on resource: ephemeral-storage. Threshold quantity: 4902142351, available: 4528764Ki.",
        ),
        ("OutOfDisk", "Pod ephemeral local storage usage exceeds the total limit of containers 20Gi."),
        ("OutOfDisk", 'Usage of EmptyDir volume "workspace" exceeds the limit "20Gi".'),
        ("OutOfDisk", "Pod was rejected: The node had condition: [DiskPressure]."),
        ("NodeGone", "Pod was terminated in response to imminent node shutdown."),
        ("NodeGone", "Preempted in order to admit critical pod"),
        (
            "ImageNotPulled",
            'Pod failed before main container starts due to ImagePullBackOff: Back-off pulling image "x:1"',
        ),
        (
            "ImageNotPulled",
            "ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image: timed out",
        ),
        ("NotStarted", 'CreateContainerConfigError: secret "aphex-git" not found'),
        ("NotStarted", "main: StartError (exit code 128): failed to create containerd task: exec: no such file"),
        ("Unschedulable", "Unschedulable: 0/3 nodes are available: 2 Insufficient cpu, 3 MatchNodeSelector."),
        (
            "Unschedulable",
            "Pod was rejected: Node didn't have enough resource: memory, requested: 2, used: 1, capacity: 2",
        ),
        ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"),
        ("DeadlineExceeded", "Step exceeded its deadline"),
        ("DeadlineExceeded", "Max duration limit exceeded"),
        ("PodDeleted", "pod deleted"),
        ("PodDeleted", "pod deleted during operation"),
        ("PodDeleted", "Node node-1 which was running pod shop-abc12-build-1 is unresponsive"),
        ("Stopped", "workflow shutdown with strategy: Stop"),
        ("Stopped", "Stopped with strategy 'Stop'"),
        ("Stopped", "terminated"),
    ],
)
def test_a_pod_s_end_is_told_in_plain_words_with_what_argo_said(kind: str, said: str) -> None:
    message, hint = KINDS[kind]
    assert explained(said) == Reason(kind, f"{message}\n{said}", hint)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("main: Error (exit code 143)", Reason("PodEnded", "main: Error (exit code 143)", LOG)),
        (
            "main:  Error\n(exit code 1): it terminated",
            Reason("PodEnded", "main: Error (exit code 1): it terminated", LOG),
        ),
        (
            " ",
            Reason(
                "PodEnded",
                "Its pod ended before it could say why.",
                "The pod's events, if it is still there, tell more: kubectl describe pod.",
            ),
        ),
    ],
)
def test_what_is_not_known_is_told_as_it_is(said: str, expected: Reason) -> None:
    assert explained(said) == expected
