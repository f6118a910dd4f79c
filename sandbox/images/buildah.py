"""The one way to buildah: with storage of its own below the cache, so that no image of the user's is touched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from aphex.errors import AphexError
from aphex.process import Completed, ProcessError, run
from sandbox.images.recipes import BuiltImage, PulledImage
from sandbox.images.settings import BuildSettings
from sandbox.toolchain import program
from sandbox.toolchain.cache import Report

_KEPT_VERSIONS = 3
# What the kernel says of a program for another processor.
_FOREIGN = "exec format error"
_STEP = re.compile(r"STEP (\d+)/(\d+): (\w+)")


class ImageBuildError(AphexError):
    """An image could not be built or pushed."""


class Buildah:
    """buildah on a storage folder."""

    def __init__(self, storage: Path, report: Report) -> None:
        """Use `storage`, which is made when it is not there, and tell `report` what happens."""
        executable = program("buildah")
        if executable is None:
            raise ImageBuildError("buildah is not installed.", hint="Run: python -m automation sandbox install")
        self._executable = executable
        self._report = report
        self._storage = storage
        self._temporary = storage / "tmp"
        self._temporary.mkdir(parents=True, exist_ok=True)
        # The cache mounts of a build are below the temporary folder.
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        self._env = {**os.environ, "TMPDIR": str(self._temporary), "PATH": path}

    def __call__(self, *arguments: str | Path, label: str = "buildah", on_line: Report | None = None) -> Completed:
        """Run one buildah command; what it prints is in its result, or goes line by line to `on_line`.

        Raises:
            ImageBuildError: it failed; has the last lines that it printed.
        """
        places = ["--root", str(self._storage / "root"), "--runroot", str(self._storage / "run")]
        try:
            return run(
                [self._executable, *places, "--storage-driver", "overlay", *arguments],
                env=self._env,
                separate_errors=on_line is None,
                on_line=on_line,
                label=label,
            )
        except ProcessError as error:
            raise ImageBuildError(str(error), hint="The lines above are the build's last ones.") from error

    def has(self, reference: str) -> bool:
        """Whether the storage holds an image."""
        return bool(self("images", "-q", "--filter", f"reference={reference}").output.strip())

    def build(self, image: BuiltImage, reference: str, base: str, settings: BuildSettings, platform: str = "") -> None:
        """Build an image on its base, with the settings and certificates for the build only.

        Args:
            image: what to build.
            reference: its name in this storage.
            base: its base's name in this storage, or in a registry for one that is pulled.
            settings: what the build's package managers are to use.
            platform: such as `linux/arm64`; empty is this machine's.

        Raises:
            ImageBuildError: a step failed.
        """
        pull = "--pull" if isinstance(image.base, PulledImage) else "--pull-never"
        words = ["bud", "--isolation", "chroot", pull, "--tag", reference]
        words += ["--file", str(image.sources / image.dockerfile)]
        words += ["--platform", platform] if platform else []
        words += ["--target", image.stage] if image.stage else []
        words += [word for name in image.arguments for word in ("--build-arg", f"{name}={base}")]
        words += [word for name, each in image.contexts.items() for word in ("--build-context", f"{name}={each.path}")]
        with settings.files(self._temporary) as files:
            for name, path in {**files, **image.secrets}.items():
                words += ["--secret", f"id={name},src={path}"]

            def on_line(line: str) -> None:
                if step := _STEP.search(line):
                    self._report(f"image {image.name}: step {step[1]} of {step[2]}, {step[3]}")

            try:
                self(*words, str(image.sources), label=f"building {image.name}", on_line=on_line)
            except ImageBuildError as error:
                if platform and _FOREIGN in error.message.lower():
                    error.hint = (
                        f"This machine cannot run programs of {platform}. Register QEMU with its kernel (Debian: apt "
                        "install qemu-user-static), or build where docker with buildx does, or for fewer platforms."
                    )
                raise

    @contextmanager
    def container(self, base: str = "scratch") -> Iterator[str]:
        """A working container, removed at the end."""
        name = self("from", "--pull-never", base).output.strip()
        try:
            yield name
        finally:
            self("rm", name)

    @contextmanager
    def mounted(self, container: str) -> Iterator[Path]:
        """The root folder of a working container."""
        folder = Path(self("mount", container).output.strip())
        try:
            yield folder
        finally:
            self("umount", container)

    def recover(self) -> None:
        """Remove the working containers, and their mounts, that a killed build left."""
        self("rm", "--all")

    def prune(self, repository: str) -> None:
        """Remove all but the newest images of a repository: a folder switched between two versions needs no rebuild."""
        listed = self("images", "--format", "{{.Name}}:{{.Tag}}", "--filter", f"reference={repository}")
        # buildah lists the newest first.
        for outdated in listed.output.split()[_KEPT_VERSIONS:]:
            self("rmi", outdated)

    def export(self, references: Iterable[str], folder: Path) -> None:
        """Write images of several platforms into one OCI layout, below one index."""
        index = f"localhost/aphex-index:{folder.name.lstrip('.')}".lower()
        self("manifest", "create", index, *references)
        try:
            self("manifest", "push", "--quiet", "--all", "--format", "oci", index, f"oci:{folder}", label="exporting")
        finally:
            self("manifest", "rm", index)

    def version(self) -> str:
        """The program's version."""
        return self("--version").output.split()[2]

    def push(self, reference: str, target: str) -> None:
        """Push to a registry on this machine, as it is: compressing costs more than loopback saves.

        buildah compresses whatever it is told, because it may change the layers' digests; skopeo can be kept from it.
        """
        source = f"containers-storage:[overlay@{self._storage / 'root'}+{self._storage / 'run'}]{reference}"
        options = ["--quiet", "--preserve-digests", "--dest-tls-verify=false"]
        skopeo("copy", *options, source, f"docker://{target}", label=f"pushing {target}", env=self._env)


def skopeo(*arguments: str, label: str, env: Mapping[str, str] | None = None) -> Completed:
    """Run one skopeo command.

    Raises:
        ImageBuildError: it is not there, or it failed.
    """
    executable = program("skopeo")
    if executable is None:
        raise ImageBuildError("skopeo is not installed.", hint="Run: python -m automation sandbox install")
    try:
        return run([executable, *arguments], env=env, label=label, separate_errors=True)
    except ProcessError as error:
        raise ImageBuildError(str(error), hint="See whether the registry has room and runs.") from error


def oci_config(entrypoint: Sequence[str], user: str) -> list[str]:
    """Arguments of `buildah config` for an image of one program."""
    words = "[" + ", ".join(f'"{word}"' for word in entrypoint) + "]"
    return ["--entrypoint", words, "--env", "PATH=/bin", *(["--user", user] if user else [])]
