"""The one way to buildah: with storage of its own below the cache, so that no image of the user's is touched."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from aphex.errors import AphexError
from aphex.process import Completed, ProcessError, run
from sandbox.certificates import host_ca_bundle
from sandbox.images.recipes import SOURCES
from sandbox.toolchain import program
from sandbox.toolchain.cache import Report

_CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO")
_PLACE_OF_CERTIFICATES = "/run/secrets/certificates"
# Settings by which people point package managers at a mirror or a proxy.
_PASSED_ON = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_HTTP_TIMEOUT",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
)
_KEPT_VERSIONS = 3
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

    def build(
        self,
        reference: str,
        dockerfile: str,
        *,
        stage: str = "",
        arguments: Mapping[str, str],
        contexts: Mapping[str, Path],
    ) -> None:
        """Build a Dockerfile of the sources, with the host's certificates and package settings for the build only."""
        words = ["bud", "--isolation", "chroot", "--pull-never", "--tag", reference]
        words += ["--file", str(SOURCES / dockerfile)]
        words += ["--target", stage] if stage else []
        words += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        words += [word for name, path in contexts.items() for word in ("--build-context", f"{name}={path}")]
        with self._build_environment() as (secret, certificates):
            words += ["--secret", f"id=build-environment,src={secret}"]
            if certificates is not None:
                words += ["--secret", f"id=certificates,src={certificates}"]
            name = reference.rsplit("/", 1)[-1].split(":")[0]

            def on_line(line: str) -> None:
                if step := _STEP.search(line):
                    self._report(f"image {name}: step {step[1]} of {step[2]}, {step[3]}")

            self(*words, str(SOURCES), label=f"building {name}", on_line=on_line)

    @contextmanager
    def _build_environment(self) -> Iterator[tuple[Path, Path | None]]:
        """An owner-only file of settings for the build's package managers, and the certificates to mount."""
        certificates = host_ca_bundle()
        with tempfile.NamedTemporaryFile("w", dir=self._temporary) as settings:
            settings.write(build_settings(os.environ, certificates is not None))
            settings.flush()
            yield Path(settings.name), certificates

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

    def push(self, reference: str, target: str) -> None:
        """Push to a registry on this machine, as it is: compressing costs more than loopback saves.

        buildah compresses whatever it is told, because it may change the layers' digests; skopeo can be kept from it.
        """
        skopeo = program("skopeo")
        if skopeo is None:
            raise ImageBuildError("skopeo is not installed.", hint="Run: python -m automation sandbox install")
        source = f"containers-storage:[overlay@{self._storage / 'root'}+{self._storage / 'run'}]{reference}"
        options = ["--quiet", "--preserve-digests", "--dest-tls-verify=false"]
        try:
            run([skopeo, "copy", *options, source, f"docker://{target}"], env=self._env, label=f"pushing {target}")
        except ProcessError as error:
            raise ImageBuildError(str(error), hint="See whether the registry has room and runs.") from error


def build_settings(environment: Mapping[str, str], certificates: bool) -> str:
    """Shell assignments that make a build's package managers use the host's mirrors and certificates."""
    settings = {name: environment[name] for name in _PASSED_ON if environment.get(name)}
    if "PIP_INDEX_URL" in settings:
        settings.setdefault("UV_DEFAULT_INDEX", settings["PIP_INDEX_URL"])
    if certificates:
        settings |= dict.fromkeys(_CERTIFICATES, _PLACE_OF_CERTIFICATES)
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())


def oci_config(entrypoint: Sequence[str], user: str) -> list[str]:
    """Arguments of `buildah config` for an image of one program."""
    words = "[" + ", ".join(f'"{word}"' for word in entrypoint) + "]"
    return ["--entrypoint", words, "--env", "PATH=/bin", *(["--user", user] if user else [])]
