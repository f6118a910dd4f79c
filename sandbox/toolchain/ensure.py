"""Gets every program the sandbox needs onto this machine, once: installed, released, or built."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aphex.errors import AphexError
from aphex.process import run
from sandbox.toolchain import debian
from sandbox.toolchain.bundles import BUNDLES, SANDBOX, Bundle, bundle_of
from sandbox.toolchain.cache import Report, cache_root, locked, placed, remove, silent
from sandbox.toolchain.gobuild import GoBuild
from sandbox.toolchain.releases import obtain

TOOLS = (*(tool for bundle in BUNDLES for tool in bundle.packages), *debian.EXTRACTED)


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """Programs that are on this machine, ready to run.

    Attributes:
        paths: each program by its name.
        manifests: the folder with `argo-workflows.yaml` and `argo-events.yaml`: the cluster installation that belongs
            to the same versions, one multi-document file each.
    """

    paths: Mapping[str, Path]
    manifests: Path

    def path(self, tool: str) -> Path:
        """Where a program is.

        Raises:
            AphexError: it was not asked for when this toolchain was made.
        """
        if tool not in self.paths:
            raise AphexError(f"{tool} was not asked for; this toolchain has {', '.join(sorted(self.paths))}.")
        return self.paths[tool]


def ensure(*tools: str, progress: Report | None = None) -> Toolchain:
    """Make sure that programs are there, all of them when none is named.

    What is there is found in a few milliseconds; what is not is extracted from a package, downloaded or built, by one
    process at a time.

    Raises:
        AphexError: a name is unknown, or a program can neither be had nor built.
    """
    report = progress or silent
    wanted = tools or TOOLS
    if unknown := sorted(set(wanted) - set(TOOLS)):
        raise AphexError(f"{', '.join(unknown)}: no such tool. There are {', '.join(TOOLS)}.")
    root = cache_root() / "toolchain"
    paths = {}
    for tool in wanted:
        bundle = bundle_of(tool)
        folder = _bundle(bundle, root, report) if bundle else debian.extracted(tool, root, report)
        paths[tool] = folder / "bin" / tool
    if (root / "go").exists():
        _clean(root, report)
    return Toolchain(paths=paths, manifests=_folder(SANDBOX, root) / "manifests")


def _folder(bundle: Bundle, root: Path) -> Path:
    return root / f"{bundle.name}-{bundle.digest()}"


def _bundle(bundle: Bundle, root: Path, report: Report) -> Path:
    """The folder with a bundle's binaries, built when it is not there."""
    final = _folder(bundle, root)
    if final.is_dir():
        return final
    with locked(root / "lock", report, "toolchain"):
        if not final.is_dir():
            _build(bundle, final, root, report)
    return final


def _build(bundle: Bundle, final: Path, root: Path, report: Report) -> None:
    started = time.monotonic()
    work = root / f"{final.name}.work"
    work.mkdir(parents=True, exist_ok=True)
    got = _obtained(bundle, work, report)
    rest = [tool for tool in bundle.packages if tool not in got]
    with placed(final) as folder:
        shutil.copytree(work / "obtained", folder, dirs_exist_ok=True)
        if rest or bundle is SANDBOX:
            build = GoBuild(bundle, work, root / "go", report)
            if rest:
                build.build(rest, folder / "bin")
            if bundle is SANDBOX:
                _render_manifests(build, folder / "bin" / "kube", folder / "manifests")
        (folder / "seconds").write_text(f"{time.monotonic() - started:.0f}\n")
    remove(work)


def _clean(root: Path, report: Report) -> None:
    """Remove what builds leave: work folders of versions that are wanted no more, and Go's caches once all is built."""
    with locked(root / "lock", report, "toolchain", wait=False) as alone:
        if not alone:
            return
        current = {f"{_folder(bundle, root).name}.work" for bundle in BUNDLES}
        for left in root.glob("*.work"):
            if left.name not in current:
                remove(left)
        if not any(root.glob("*.work")):
            report("removing Go's caches, which are not needed any more")
            remove(root / "go")


def _obtained(bundle: Bundle, work: Path, report: Report) -> list[str]:
    """The tools that need no build, in the work folder so that an interrupted build does not download them again."""
    folder, done = work / "obtained", work / "obtained.txt"
    if not done.exists():
        remove(folder)
        (folder / "bin").mkdir(parents=True)
        done.write_text("\n".join(obtain(list(bundle.packages), folder, report)))
    return done.read_text().split()


def _render_manifests(build: GoBuild, kube: Path, target: Path) -> None:
    """Write the installation manifests of Argo Workflows and Argo Events, from the modules that were built."""
    target.mkdir()
    workflows = build.prepare() / "argo-workflows" / "manifests" / "cluster-install"
    rendered = run(
        [kube, "kubectl", "kustomize", workflows, "--load-restrictor", "LoadRestrictionsNone"],
        env={"PATH": os.defpath, "HOME": str(target)},
        separate_errors=True,
    )
    (target / "argo-workflows.yaml").write_text(rendered.output)
    events = build.module_folder("github.com/argoproj/argo-events") / "manifests" / "install.yaml"
    (target / "argo-events.yaml").write_text(events.read_text())
