"""Builds a bundle's binaries with Go: resumable, with its own caches, and the same in any environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from aphex.errors import AphexError
from aphex.process import ProcessError, run
from sandbox.toolchain.bundles import Bundle
from sandbox.toolchain.cache import Report
from sandbox.toolchain.progress import BuildMeter, Throttle, duration

_PLACES = ("/usr/local/go/bin", "/usr/lib/go/bin", "/snap/bin", "/opt/homebrew/bin")
_COPIED_MODULES = {"argo-workflows": "github.com/argoproj/argo-workflows/v3"}


class GoUnavailable(AphexError):
    """Go is not on this machine, or too old to build the toolchain."""


class GoBuild:
    """One bundle being built in a work folder that an interrupted build leaves and the next one goes on from."""

    def __init__(self, bundle: Bundle, work: Path, caches: Path, report: Report) -> None:
        """Prepare a build; nothing is run yet.

        Args:
            bundle: what to build.
            work: the folder for sources and notes of this build.
            caches: the folder for Go's caches.
            report: told how far it is.
        """
        self._bundle = bundle
        self._work = work
        self._report = report
        self._compiled = work / "compiled.txt"
        self._go = find_go()
        self._env = go_environment(caches)

    def build(self, binaries: list[str], target: Path) -> None:
        """Build the named binaries into the folder `target`.

        Raises:
            GoUnavailable: there is no Go, or it is too old.
            ProcessError: a download or the compiler failed.
        """
        started = time.monotonic()
        source = self.prepare()
        packages = [self._bundle.packages[name] for name in binaries]
        weights = self._weights(source, packages)
        self._compile(source, packages, target, weights)
        for name in binaries:
            built = target / self._bundle.packages[name].rsplit("/", 1)[-1]
            if built.name != name:
                built.rename(target / name)
        self._report(f"built {', '.join(binaries)} in {duration(time.monotonic() - started)}")

    def prepare(self) -> Path:
        """The module's sources in the work folder, with the modules beside them that have to be changed."""
        source = self._work / "src"
        done = self._work / "prepared"
        if not done.exists():
            shutil.rmtree(source, ignore_errors=True)
            shutil.copytree(self._bundle.sources, source)
            self._check_version(source)
            overlays = source / "_overlay"
            for overlay in sorted(overlays.iterdir()) if overlays.is_dir() else []:
                self._copy_module(overlay, source / overlay.name)
            done.touch()
        return source

    def module_folder(self, module: str) -> Path:
        """Where the module cache has a module at the version of this build, downloaded when it is not there."""
        source = self._work / "src"
        listed = run([self._go, "list", "-mod=readonly", "-m", "-f", "{{.Version}}", module], cwd=source, env=self._env)
        return self._download(f"{module}@{listed.output.strip()}", source)

    def _check_version(self, source: Path) -> None:
        try:
            run([self._go, "list", "-m"], cwd=source, env=self._env)
        except ProcessError as error:
            wanted = re.search(r"^go (\S+)$", (source / "go.mod").read_text(), re.MULTILINE)
            version = run([self._go, "version"], env=self._env, check=False).output.strip()
            raise GoUnavailable(
                f"Go cannot build the toolchain: {error.completed.output.strip()}\nThis is {version or self._go}.",
                hint=f"Install Go {wanted[1] if wanted else ''} or newer and put it first on the PATH, "
                "or set GOTOOLCHAIN=auto so that Go gets it itself.",
            ) from error

    def _copy_module(self, overlay: Path, target: Path) -> None:
        """Copy a module out of the read-only cache and lay the overlay's files over it."""
        # The module is replaced by the folder made here, so its version stands in the `require` line alone.
        module = _COPIED_MODULES[overlay.name]
        required = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)$", _go_mod(overlay), re.MULTILINE)
        if required is None:
            raise AphexError(f"{overlay.parent.parent / 'go.mod'} does not require {module}.")
        folder = self._download(f"{module}@{required[1]}", self._work)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("docs", "examples", "test", "sdks"))
        for path in [target, *target.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
        shutil.copytree(overlay, target, dirs_exist_ok=True)
        # A symbolic link upstream; module archives hold no links, so the file is missing from this one.
        signals = target / "workflow" / "executor" / "osspecific"
        if (signals / "signal_darwin.go").exists() and not (signals / "signal_linux.go").exists():
            shutil.copyfile(signals / "signal_darwin.go", signals / "signal_linux.go")

    def _download(self, versioned: str, folder: Path) -> Path:
        arguments = [self._go, "mod", "download", "-json", versioned]
        found = json.loads(run(arguments, cwd=folder, env=self._env, separate_errors=True).output)
        return Path(found["Dir"])

    def _weights(self, source: Path, packages: list[str]) -> dict[str, int]:
        """Bytes of source of every package of the build; downloads the modules they are in."""
        listing: list[str] = []
        expected = len(re.findall(r"^\t\S+ v\S+(?: // indirect)?$", (source / "go.mod").read_text(), re.MULTILINE))
        downloads = Throttle(self._report)
        count = 0

        def on_line(line: str) -> None:
            nonlocal count
            if line.startswith("go: downloading "):
                count += 1
                downloads(f"{self._bundle.name}: downloading Go modules, {count} of about {expected}")
            elif not line.startswith("go: "):
                listing.append(line)

        template = '{{.ImportPath}}\t{{.Dir}}\t{{join .GoFiles ","}}'
        arguments = ["list", "-mod=readonly", "-deps", "-f", template, *packages]
        run([self._go, *arguments], cwd=source, env=self._env, on_line=on_line, keep_lines=200)
        return dict(_sizes(listing))

    def _compile(self, source: Path, packages: list[str], target: Path, weights: dict[str, int]) -> None:
        lines = self._notes()
        spent = float(lines[-1][1]) if lines else 0.0
        meter = BuildMeter(weights, already=[line[0] for line in lines], spent=spent, links=len(packages))
        if lines:
            self._report(f"{self._bundle.name}: going on from an interrupted build ({meter.progress(0)})")
        self._report(f"{self._bundle.name}: building {len(packages)} programs from {len(weights)} packages")
        started = time.monotonic()
        say = Throttle(self._report)
        arguments = ["build", "-mod=readonly", "-trimpath", "-v", "-ldflags", self._bundle.linker_flags]
        with self._compiled.open("a") as notes:

            def on_line(line: str) -> None:
                if meter.compiled(line.strip()):
                    seconds = time.monotonic() - started
                    notes.write(f"{line.strip()} {spent + seconds:.1f}\n")
                    notes.flush()
                    now = meter.progress(seconds)
                    say(f"{self._bundle.name}: compiling, {now}")
                    if now.compiled == now.packages:
                        self._report(f"{self._bundle.name}: linking, {now}")

            run(
                [self._go, *arguments, "-o", f"{target}/", *packages],
                cwd=source,
                env=self._env,
                on_line=on_line,
                label=f"go build ({self._bundle.name})",
            )

    def _notes(self) -> list[list[str]]:
        """Package and seconds since the first start, of each package compiled; a line cut off by a kill is left out."""
        if not self._compiled.exists():
            return []
        lines = [line.split() for line in self._compiled.read_text().splitlines()]
        return [words for words in lines if len(words) == 2]


def find_go() -> str:
    """The Go command: on the PATH, or where its installers put it.

    Raises:
        GoUnavailable: it is in none of these places.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_PLACES])
    go = shutil.which("go", path=path)
    if go is None:
        raise GoUnavailable(
            "Go was not found; the sandbox's programs are built with it.",
            hint="Install Go 1.26 or newer and put it on the PATH.",
        )
    return go


def go_environment(caches: Path) -> dict[str, str]:
    """The environment of every Go command: the user's own settings, but caches and platform of ours.

    `APHEX_GOMODCACHE` and `APHEX_GOCACHE` name caches that exist already; they are used and kept.
    """
    env = dict(os.environ)
    env.setdefault("HOME", str(Path.home()))
    env.setdefault("PATH", os.defpath)
    env["GOMODCACHE"] = os.environ.get("APHEX_GOMODCACHE", str(caches / "mod"))
    env["GOCACHE"] = os.environ.get("APHEX_GOCACHE", str(caches / "build"))
    env["GOWORK"] = "off"
    env["CGO_ENABLED"] = "0"
    # The module cache is read-only by default, so that it could not simply be removed.
    env["GOFLAGS"] = f"{env.get('GOFLAGS', '')} -modcacherw -buildvcs=false".strip()
    return env


def _go_mod(overlay: Path) -> str:
    return (overlay.parent.parent / "go.mod").read_text()


def _sizes(listing: list[str]) -> Iterator[tuple[str, int]]:
    for line in listing:
        name, _, rest = line.partition("\t")
        folder, _, files = rest.partition("\t")
        if files:
            yield name, sum((Path(folder) / file).stat().st_size for file in files.split(","))
