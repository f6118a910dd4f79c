"""What a person may choose about an image build, and what follows from it for the build's package managers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from aphex.errors import UsageError
from sandbox.certificates import host_ca_bundle
from sandbox.images.platforms import host_platform
from sandbox.images.settings import PASSED_ON, BuildSettings

Tool = Literal["docker", "buildah"]
PLATFORMS = ("linux/amd64", "linux/arm64")
OUTPUT = Path("build/images")


@dataclass(frozen=True, kw_only=True)
class Network:
    """Places of a company network. None of them may have a password in it: those come from the environment.

    Attributes:
        package_index: of Python packages.
        npm_registry: of npm packages.
        debian_mirror: of Debian packages.
        programs_url: where the released programs are mirrored, each below the name of its own host.
        proxy: for HTTP and HTTPS.
        no_proxy: hosts that are reached without it.
    """

    package_index: str = ""
    npm_registry: str = ""
    debian_mirror: str = ""
    programs_url: str = ""
    proxy: str = ""
    no_proxy: str = ""

    def environment(self) -> dict[str, str]:
        """The variables by which the build's package managers learn of these places.

        Raises:
            UsageError: a URL has a user or a password in it, which would be seen in the list of processes.
        """
        found = {
            "PIP_INDEX_URL": self.package_index,
            "NPM_CONFIG_REGISTRY": self.npm_registry,
            "APHEX_DEBIAN_MIRROR": self.debian_mirror,
            "APHEX_PROGRAMS_URL": self.programs_url,
            "HTTP_PROXY": self.proxy,
            "HTTPS_PROXY": self.proxy,
            "NO_PROXY": self.no_proxy,
        }
        chosen = {name: value for name, value in found.items() if value}
        for name, value in chosen.items():
            if "://" in value and urlsplit(value).username is not None:
                raise UsageError(
                    "An address given as an option has a user or a password in it, which every process could read.",
                    hint=f"Leave the option out and put the whole address into the environment variable {name}.",
                )
        # Programs differ in which spelling of a proxy's variable they read.
        spelled = {name.lower(): value for name, value in chosen.items() if name.endswith("_PROXY")}
        return chosen | spelled


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What to build and where to put it.

    Attributes:
        registry: `HOST` or `HOST/PREFIX` to push to; None builds only.
        platforms: for which machines.
        base_image: what the images are built on, instead of the pinned one; Debian 12 or made from it.
        debootstrap: make the base from Debian packages, where no image can be pulled.
        programs: a folder with the released programs, instead of downloading them; for one platform.
        ca_bundle: authorities that the build and the images trust besides Debian's.
        network: places of a company network.
        tool: what builds; None takes docker with buildx, else buildah.
        output: the folder of what is built and of what describes it.
        profile: the AWS profile whose credentials may push to ECR.
        create_repositories: whether missing ECR repositories are made.
    """

    registry: str | None = None
    platforms: tuple[str, ...] = PLATFORMS
    base_image: str | None = None
    debootstrap: bool = False
    programs: Path | None = None
    ca_bundle: Path | None = None
    network: Network = field(default_factory=Network)
    tool: Tool | None = None
    output: Path = OUTPUT
    profile: str | None = None
    create_repositories: bool = False

    def check(self) -> None:
        """See that the choices go together.

        Raises:
            UsageError: they do not; nothing was done.
        """
        if self.base_image and self.debootstrap:
            raise UsageError("--base-image and --debootstrap exclude each other.")
        if self.debootstrap and self.tool == "docker":
            raise UsageError("--debootstrap works with buildah only.", hint="Add --tool buildah.")
        if self.debootstrap and self.platforms != (host_platform(),):
            raise UsageError(
                "--debootstrap makes the base for this machine's kind alone.",
                hint=f"Add --platform {host_platform()}, or name a base image that has the others: --base-image.",
            )
        wrong = [name for name in self.platforms if name not in PLATFORMS]
        if wrong or not self.platforms:
            message = f"{', '.join(wrong)} cannot be built." if wrong else "No platform was named."
            raise UsageError(message, hint=f"Use {' or '.join(PLATFORMS)}.")
        if self.programs and len(self.platforms) > 1:
            raise UsageError(
                "A folder of programs is for one platform.", hint="Name it: --platform linux/amd64, for example."
            )
        for path in (self.programs, self.ca_bundle):
            if path is not None and not path.exists():
                raise UsageError(f"{path} is not there.")


def build_settings(options: ImageOptions, environment: Mapping[str, str]) -> BuildSettings:
    """What the build's package managers use: the options, and what this machine's environment says otherwise."""
    inherited = {name: environment[name] for name in PASSED_ON if environment.get(name)}
    return BuildSettings(
        environment={**inherited, **options.network.environment()},
        certificates=tuple(filter(None, (host_ca_bundle(), options.ca_bundle))),
    )
