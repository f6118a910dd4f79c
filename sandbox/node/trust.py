"""Shows the certificate authorities that the host trusts to every container, so that pods trust a company's too.

The CRI has no setting for it, but a base runtime specification: its mounts are in every container, from images with
nothing in them too, and a pod's own volume at the same path comes first.
"""

from __future__ import annotations

import json
from pathlib import Path

from aphex.process import run
from sandbox.certificates import host_ca_bundle
from sandbox.node.layout import Layout

IN_CONTAINERS = "/etc/ssl/certs/ca-certificates.crt"


def share(layout: Layout) -> None:
    """Copy the host's bundle to where containers see it; those that run keep what they were started with."""
    bundle = host_ca_bundle()
    if bundle is None:
        layout.trust.unlink(missing_ok=True)
        return
    content = bundle.read_bytes()
    if layout.trust.exists() and layout.trust.read_bytes() == content:
        return
    layout.trust.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = layout.trust.with_suffix(".new")
    temporary.write_bytes(content)
    # Its folder is the owner's alone; inside a container any user has to read it.
    temporary.chmod(0o644)
    temporary.replace(layout.trust)


def base_runtime_spec(layout: Layout, containerd: Path) -> str:
    """The specification that every container begins with: this containerd's own default, and the bundle.

    Args:
        layout: the state folder, whose copy of the bundle is shown.
        containerd: the containerd program, beside which its client is.

    Raises:
        ProgramNotFound: the client is not there.
    """
    spec = json.loads(run([containerd.with_name("ctr"), "oci", "spec"], separate_errors=True).output)
    mount = {"destination": IN_CONTAINERS, "type": "bind", "source": str(layout.trust), "options": ["bind", "ro"]}
    return json.dumps(spec | {"mounts": [*spec["mounts"], mount]}, indent=2) + "\n"
