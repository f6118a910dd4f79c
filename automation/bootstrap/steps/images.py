"""The images of the stages: named by the configuration, built in the sandbox, or pushed to the cluster's ECR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from automation.bootstrap.context import Context, NotThereYet
from automation.bootstrap.step import Finding, blocked, done, to_do

if TYPE_CHECKING:
    from aphex.cluster_config import ClusterConfig
    from sandbox.state import StandIns

# Builds for platforms such as linux/amd64, none for all, and pushes to a registry, `HOST/PREFIX`.
PublishImages = Callable[[str, tuple[str, ...], Callable[[str], None]], object]


@dataclass(frozen=True, kw_only=True)
class ConfiguredStep:
    """Images that the configuration has to name: nothing here can push to where the cluster pulls."""

    context: Context
    name: str = "images"
    title: str = "Images"
    makes: str = ""

    def check(self) -> Finding:
        """Whether both are named."""
        builder, deployer = self.context.subject.images
        if builder and deployer:
            return done(f"{builder} and {deployer}")
        return blocked(
            "the configuration names no images that the cluster can pull",
            "Build and push them: python -m automation images push --registry HOST/PREFIX; then set "
            "pipeline.images.builder and .deployer in aphex-config.yaml.",
        )

    def do(self) -> None:
        """There is nothing to do."""


@dataclass(frozen=True, kw_only=True)
class SandboxImagesStep:
    """Images in the sandbox's registry, built when they are missing."""

    context: Context
    name: str = "images"
    title: str = "Images"
    makes: str = "the stages' images, in the sandbox's registry"

    def check(self) -> Finding:
        """Whether the registry has them as this version wants them."""
        builder, deployer = self.context.subject.images
        if builder and deployer:
            return done(f"{builder} and {deployer}")
        try:
            stand_ins = self.context.stand_ins()
        except NotThereYet as error:
            return to_do(error.message)
        lacking = _missing(stand_ins)
        return to_do(f"the registry lacks {', '.join(lacking)}") if lacking else done("in the sandbox's registry")

    def do(self) -> None:
        """Build and push what is missing."""
        from automation.sandbox_target import sandbox_images
        from sandbox import lifecycle

        state = lifecycle.load(self.context.options.name)
        self.context.images = sandbox_images(state, self.context.subject, self.context.terminal)


def _missing(stand_ins: StandIns) -> list[str]:
    from sandbox import images, toolchain
    from sandbox.state import SandboxState

    return images.missing(stand_ins, toolchain.ensure()) if isinstance(stand_ins, SandboxState) else []


@dataclass(frozen=True, kw_only=True)
class EcrImagesStep:
    """Images in the repositories of the cluster's stack.

    Attributes:
        publish: builds and pushes them.
    """

    context: Context
    publish: PublishImages
    name: str = "images"
    title: str = "Images"
    makes: str = "the stages' images, built and pushed to the cluster's ECR repositories"

    def check(self) -> Finding:
        """Whether each repository has an image."""
        if all(self.context.subject.images):
            return done(" and ".join(str(each) for each in self.context.subject.images))
        outputs = self.context.cluster_outputs()
        if outputs is None:
            return to_do("there is no cluster yet")
        try:
            found = self._newest(outputs)
        except NotThereYet as error:
            return to_do(error.message)
        return done("the newest of the cluster's repositories", *found)

    def do(self) -> None:
        """Build and push."""
        outputs = self.context.cluster_outputs()
        if outputs is None:
            raise AphexError("There is no cluster yet.")
        self.publish(registry_of(outputs), platforms_of(self.context.cluster()), self.context.terminal.say)

    def _newest(self, outputs: Mapping[str, Any]) -> list[str]:
        from automation.eks_target import newest_image

        found = []
        for image in ("builder", "deployer"):
            try:
                found.append(newest_image(self.context.aws(), str(outputs[f"{image}_repository"])))
            except AphexError as error:
                raise NotThereYet(error.message.rstrip(".")) from error
        return found


def registry_of(outputs: Mapping[str, Any]) -> str:
    """The registry with the prefix of the cluster's own repositories."""
    return str(outputs["builder_repository"]).rpartition("/")[0]


def platforms_of(config: ClusterConfig | None) -> tuple[str, ...]:
    """The platforms of a cluster's nodes, where its file says them; none when it does not.

    Building for a processor that this machine does not have takes long, and what no node has need not be built.
    """
    if config is None:
        return ()
    scaling = config.autoscaling
    groups = [group.architecture for group in scaling.node_groups]
    found = scaling.auto.architectures if scaling.mode == "auto" else groups
    return tuple(f"linux/{architecture}" for architecture in dict.fromkeys(found))


def publish_images(registry: str, platforms: tuple[str, ...], report: Callable[[str], None]) -> object:
    """Build the images of this version and push them, unless they are there."""
    from automation.images.options import PLATFORMS, ImageOptions
    from automation.images.publish import publish

    return publish(ImageOptions(registry=registry, platforms=platforms or PLATFORMS), report)
