"""The base of the builder and deployer images, made from Debian packages where no image can be pulled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from aphex.process import ProcessError, run
from sandbox.images.buildah import Buildah, ImageBuildError
from sandbox.images.recipes import SUITE
from sandbox.toolchain import program
from sandbox.toolchain.cache import Report
from sandbox.toolchain.progress import Throttle

# Never read in a pod, a third of a minimal Debian.
_UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/lib/apt/lists", "var/cache/apt")


def build_base(buildah: Buildah, reference: str, packages: Sequence[str], archives: Path, report: Report) -> None:
    """Make the base image with debootstrap.

    Args:
        buildah: where the image is kept.
        reference: its name there.
        packages: Debian packages beyond the minimal system.
        archives: a folder that keeps the downloaded packages.
        report: told each step.

    Raises:
        ImageBuildError: debootstrap is missing or failed.
    """
    debootstrap = program("debootstrap")
    if debootstrap is None:
        raise ImageBuildError("debootstrap is not installed.", hint="Run: python -m automation sandbox install")
    archives.mkdir(parents=True, exist_ok=True)
    with buildah.container() as container, buildah.mounted(container) as root:
        # The mirror is debootstrap's own default unless APHEX_DEBIAN_MIRROR names one.
        mirror = [value] if (value := os.environ.get("APHEX_DEBIAN_MIRROR")) else []
        say = Throttle(report)
        options = ["--variant=minbase", f"--include={','.join(packages)}", f"--cache-dir={archives}"]
        try:
            run(
                [debootstrap, *options, SUITE, root, *mirror],
                env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"},
                on_line=lambda line: say(f"base image: {line.removeprefix('I: ')}"),
                keep_lines=200,
            )
        except ProcessError as error:
            raise ImageBuildError(str(error), hint="Set APHEX_DEBIAN_MIRROR to a mirror within reach.") from error
        for name in _UNUSED:
            shutil.rmtree(root / name, ignore_errors=True)
            (root / name).mkdir()
        buildah("config", "--cmd", "/bin/bash", "--env", "LANG=C.UTF-8", container)
        buildah("commit", "--quiet", container, reference)
