"""Which CDK CLI deploys an application: its own when it has one, else the one of the image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aphex.config import Deployment
from aphex.process import run
from stages.errors import StageError

_PROGRAM = "cdk"
_HELP_TIMEOUT = 120.0


class CliMissing(StageError):
    """There is no CDK CLI."""


class OptionMissing(StageError):
    """The CDK CLI lacks an option that the configuration asks for."""


@dataclass(frozen=True)
class CdkCli:
    """A CDK CLI.

    Attributes:
        program: what is run.
        version: of the npm package aws-cdk; empty when it cannot be told.
        platform_version: that of the image, for comparison.
        own: whether it is the application's.
        compile_cache: the image's cache of the CLI's compiled code, which saves a fifth of its start; empty without.
        passed_over: version of the application's own that cannot be used here; empty when there is none.
    """

    program: str
    version: str
    platform_version: str
    own: bool
    compile_cache: str = ""
    passed_over: str = ""

    @property
    def title(self) -> str:
        """Which it is, for the console."""
        platform = self.platform_version or "of unknown version"
        if self.own:
            return f"the application's own CDK CLI {self.version} ({self.program}); the image has {platform}"
        if self.passed_over:
            return f"the image's CDK CLI {platform}; the application's own {self.passed_over} knows no AWS_ENDPOINT_URL"
        return f"the image's CDK CLI {platform}"

    @property
    def newer(self) -> bool:
        """Whether it surely has all that the image's has: the same major version, and not an older one."""
        own, platform = _numbers(self.version), _numbers(self.platform_version)
        return bool(own and platform) and own[0] == platform[0] and own >= platform


def find_cli(source: Path, app: str, path: str, *, endpoint: bool = False) -> CdkCli:
    """The CLI for an app: the nearest `node_modules/.bin/cdk` from its folder up to the repository's root.

    An own CLI of the time of the AWS SDK 2 would call AWS itself where a stand-in is meant; the image's is used then.

    Args:
        source: the repository's root.
        app: the app's folder, relative to it.
        path: the PATH on which the image's is found.
        endpoint: whether AWS is where AWS_ENDPOINT_URL says.

    Raises:
        CliMissing: there is neither.
    """
    passed_over = ""
    platform = shutil.which(_PROGRAM, path=path)
    installed = _installation(Path(platform)) if platform else None
    version = _version(installed) if installed else ""
    folder = PurePosixPath(app)
    for each in (folder, *folder.parents):
        modules = source / each / "node_modules"
        package = modules / "aws-cdk"
        if (modules / ".bin" / _PROGRAM).exists() and (package / "package.json").is_file():
            if endpoint and platform and not _knows_endpoint(package):
                passed_over = _version(package)
                break
            return CdkCli(str(modules / ".bin" / _PROGRAM), _version(package), version, own=True)
    if platform is None:
        raise CliMissing(
            f"There is no CDK CLI for the app in {app}: no program {_PROGRAM} is on the PATH of the image.",
            hint="Use the platform's deployer image, or add aws-cdk to the application's package.json.",
        )
    cache = installed.parent.parent / "compile-cache" if installed else None
    compiled = str(cache) if cache and cache.is_dir() else ""
    return CdkCli(platform, version, version, own=False, compile_cache=compiled, passed_over=passed_over)


def _knows_endpoint(package: Path) -> bool:
    """Whether the SDK that the CLI is bundled with reads AWS_ENDPOINT_URL: version 3 of it does."""
    bundle = package / "lib" / "index.js"
    return bundle.is_file() and b"AWS_ENDPOINT_URL" in bundle.read_bytes()


def _installation(program: Path) -> Path | None:
    """The package that a program on the PATH links to: `PACKAGE/bin/cdk`."""
    package = program.resolve().parent.parent
    return package if (package / "package.json").is_file() else None


def _version(package: Path) -> str:
    return str(json.loads((package / "package.json").read_text(encoding="utf-8")).get("version", ""))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split("-")[0].split(".") if part.isdigit()]


def wanted_options(deployment: Deployment) -> dict[str, str]:
    """The options of `cdk deploy` that a configuration asks for, with their fields in the environment."""
    wanted: dict[str, str] = {}
    if deployment.method is not None:
        wanted["--method"] = "deployment.method"
    if deployment.express:
        wanted["--express"] = "deployment.express"
    if deployment.hotswap != "off":
        wanted["--hotswap" if deployment.hotswap == "only" else "--hotswap-fallback"] = "deployment.hotswap"
    return wanted


def require_options(cli: CdkCli, deployment: Deployment, env: dict[str, str], folder: Path) -> None:
    """Make sure that a CLI has what the configuration asks for; a CLI ignores options that it does not know.

    Raises:
        OptionMissing: it lacks one.
    """
    wanted = wanted_options(deployment)
    if not wanted or cli.newer:
        return
    command = [cli.program, "deploy", "--help"]
    text = run(command, cwd=folder, env=env, timeout=_HELP_TIMEOUT, label="cdk deploy --help").output
    missing = [option for option in wanted if not _has(text, option)]
    if missing:
        raise OptionMissing(
            "\n".join(f"{wanted[option]} needs the option {option} of cdk deploy." for option in missing)
            + f"\nThe CDK CLI that deploys the environment lacks that: {cli.title}.",
            hint="Update aws-cdk in the application, or remove it from there to have the image's; or change the field.",
            details={"options": missing, "version": cli.version},
        )


def _has(text: str, option: str) -> bool:
    words: Sequence[str] = text.replace(",", " ").split()
    return option in words
