"""Makes sure that the sandbox's registry has every image of the pipeline, and builds only what it lacks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from aphex.errors import AphexError
from sandbox.images.buildah import Buildah, oci_config
from sandbox.images.builds import Builds, builds, local_name, repository
from sandbox.images.recipes import BuiltImage, Context, ScratchImage, binary_identity, builder, content_tag, deployer
from sandbox.toolchain import Toolchain, host_packages
from sandbox.toolchain import ensure as ensure_tools
from sandbox.toolchain.cache import Report, cache_root, locked, placed, silent

_REGISTRY_SECONDS = 10.0

_PAUSE = 'trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done'
_PASSWD = "root:x:0:0:root:/root:/bin/sh\naphex:x:10001:10001::/tmp:/bin/sh\nargo:x:8737:8737::/tmp:/bin/sh\n"


class Registry(Protocol):
    """What has to be known of a sandbox to put images into it."""

    @property
    def registry(self) -> str:
        """`host:port` to push to."""

    @property
    def image_prefix(self) -> str:
        """The registry's name in image references."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Full references of the images that are in the registry."""

    builder: str
    deployer: str
    argo_controller: str
    argoexec: str
    argo_server: str
    argo_events: str
    pause: str


def ensure(state: Registry, toolchain: Toolchain, report: Report | None = None) -> Images:
    """Build and push what the registry does not have.

    The toolchain must have `workflow-controller`, `argoexec`, `argo`, `argo-events` and `pulumi`.

    Raises:
        AphexError: the registry does not answer, or an image cannot be built.
    """
    pushes = Pushes(state, report or silent)
    small = {image.name: pushes.scratch(image) for image in scratch_images(toolchain)}
    pulumi = toolchain.path("pulumi")
    return Images(
        builder=pushes.built(builder()),
        deployer=pushes.built(deployer(programs(pulumi, cache_root() / "images"))),
        argo_controller=small["workflow-controller"],
        argoexec=small["argoexec"],
        argo_server=small["argo-server"],
        argo_events=small["argo-events"],
        pause=small["pause"],
    )


def missing(state: Registry, toolchain: Toolchain) -> list[str]:
    """Names of the stages' images that the registry does not have as this version builds them; nothing is built.

    Raises:
        AphexError: the registry does not answer.
    """
    pushes = Pushes(state, silent)
    wanted = (builder(), deployer(programs(toolchain.path("pulumi"), cache_root() / "images")))
    return [image.name for image in wanted if not pushes.has(image.name, image.tag())]


def scratch_images(toolchain: Toolchain) -> Iterator[ScratchImage]:
    """The images of one binary, with the users that the installation manifests expect."""
    argo = {"workflow-controller": "workflow-controller", "argo-server": "argo", "argo-events": "argo-events"}
    for name, binary in argo.items():
        yield ScratchImage(name=name, binary=toolchain.path(binary), entrypoint=(f"/bin/{binary}",), user="8737:8737")
    yield ScratchImage(name="argoexec", binary=toolchain.path("argoexec"), entrypoint=("/bin/argoexec",))
    busybox = ("/bin/busybox", "sh", "-c", _PAUSE.replace('"', "'"))
    static = ensure_tools("busybox").path("busybox")
    yield ScratchImage(name="pause", binary=static, entrypoint=busybox, aliases=("node",))


class Pushes:
    """Gets images into one registry."""

    def __init__(self, state: Registry, report: Report) -> None:
        self._state = state
        self._report = report
        self._cache = cache_root() / "images"

    def scratch(self, image: ScratchImage) -> str:
        """The reference of an image of one binary, pushed when it is not there."""
        tag = image.tag()
        if not self.has(image.name, tag):
            with self._building(image.name) as building:
                buildah, local = building.buildah, local_name(image.name, tag)
                if not buildah.has(local):
                    _build_scratch(buildah, image, local)
                    buildah.prune(repository(image.name))
                self._report(f"image {image.name}: pushing")
                for each in (*image.aliases, tag):
                    buildah.push(local, f"{self._state.registry}/{image.name}:{each}")
        return self._reference(image.name, tag)

    def built(self, image: BuiltImage) -> str:
        """The reference of an image of one of the project's Dockerfiles, pushed when it is not there."""
        tag = image.tag()
        if not self.has(image.name, tag):
            with self._building(image.name) as building:
                local = building.image(image)
                self._report(f"image {image.name}: pushing")
                building.buildah.push(local, f"{self._state.registry}/{image.name}:{tag}")
        return self._reference(image.name, tag)

    def _reference(self, name: str, tag: str) -> str:
        return f"{self._state.image_prefix}/{name}:{tag}"

    @contextmanager
    def _building(self, name: str) -> Iterator[Builds]:
        host_packages(self._report)
        with builds(self._cache, self._report, name) as building:
            yield building

    def has(self, name: str, tag: str) -> bool:
        """Whether the registry has an image.

        Raises:
            AphexError: the registry does not answer.
        """
        url = f"http://{self._state.registry}/v2/{name}/manifests/{tag}"
        accepted = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        try:
            answer = httpx.head(url, headers={"Accept": accepted}, timeout=_REGISTRY_SECONDS, trust_env=False)
        except httpx.HTTPError as error:
            raise AphexError(
                f"The image registry at {self._state.registry} does not answer: {error}",
                hint="See whether it runs: python -m automation sandbox status",
            ) from error
        return answer.status_code == httpx.codes.OK


def programs(pulumi: Path, cache: Path) -> Context:
    """A folder below `cache` with the sandbox's Pulumi CLI alone; stand-in providers take the place of its plugins."""
    identity = binary_identity(pulumi)
    folder = cache / "programs" / content_tag(identity)
    if not folder.is_dir():
        with locked(cache / "lock", silent, "programs"), placed(folder) as partial:
            (partial / "bin").mkdir()
            shutil.copy2(pulumi, partial / "bin" / "pulumi")
    return Context(path=folder, identity=identity)


def _build_scratch(buildah: Buildah, image: ScratchImage, reference: str) -> None:
    with buildah.container() as container:
        with buildah.mounted(container) as root:
            (root / "bin").mkdir()
            shutil.copy(image.binary, root / image.entrypoint[0].lstrip("/"))
            (root / "etc").mkdir()
            (root / "etc/passwd").write_text(_PASSWD)
            (root / "tmp").mkdir()
            (root / "tmp").chmod(0o1777)
        buildah("config", *oci_config(image.entrypoint, image.user), container)
        buildah("commit", "--quiet", container, reference)
