"""Downloads the deployer image's programs, checks each against docker/pins.json, and lays them out in one folder.

Run while the image is built, by the image's own Python and with nothing installed:
`programs.py PINS ARCHITECTURE FOLDER CACHE`. The folder gets `bin/`, the Pulumi plugins in `plugins/`, and
`programs.json`, which says what it has. `APHEX_PROGRAMS_URL` names a mirror: a file of https://HOST/PATH is then taken
from $APHEX_PROGRAMS_URL/HOST/PATH.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

_SECONDS = 60.0
_PLUGIN = "pulumi-resource-"


def main(pins: Path, architecture: str, folder: Path, cache: Path) -> None:
    """Fill the folder; ends the process with a message when something is not as it is pinned."""
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    had = []
    for program in json.loads(pins.read_text())["programs"]:
        name, version = program["name"], program["version"]
        file = program["files"].get(architecture)
        if file is None:
            sys.exit(f"{pins.name} has no {name} for {architecture}.")
        if file["sha256"] is None:
            sys.exit(f"{pins.name} has no checksum of {name} {version}. Write it: python -m automation images pin")
        archive = fetched(file["url"], file["sha256"], cache)
        if name.startswith(_PLUGIN):
            install_plugin(name.removeprefix(_PLUGIN), version, archive, folder)
        else:
            install_program(name, archive, folder / "bin" / name)
        had.append({"name": name, "version": version, "url": file["url"], "sha256": file["sha256"]})
        print(f"{name} {version}", flush=True)
    (folder / "programs.json").write_text(json.dumps(had, indent=2) + "\n")
    shutil.rmtree(folder / "home", ignore_errors=True)


def fetched(url: str, expected: str, cache: Path) -> Path:
    """A file of the release, from the cache when it is there already; what is not as pinned is thrown away."""
    target = cache / f"{expected[:16]}-{url.rpartition('/')[2]}"
    if not target.exists():
        partial = target.with_suffix(".partial")
        with opened(url) as answer, partial.open("wb") as out:
            shutil.copyfileobj(answer, out, 1 << 20)
        partial.replace(target)
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        target.unlink()
        sys.exit(f"{url} has the SHA-256 digest {found}, but {expected} is pinned. Nothing of it was used.")
    return target


def opened(url: str) -> Any:
    """The answer to a request for a file, from the mirror when there is one."""
    mirror = os.environ.get("APHEX_PROGRAMS_URL", "")
    address = f"{mirror.rstrip('/')}/{url.partition('://')[2]}" if mirror else url
    parts = urlsplit(address)
    headers = {}
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    shown = urlunsplit(parts)
    try:
        request = urllib.request.Request(shown, headers=headers)  # noqa: S310  the addresses are the pins' and the mirror's
        return urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310
    except (urllib.error.URLError, OSError) as error:
        sys.exit(f"{shown} cannot be downloaded: {error}")


def install_program(name: str, archive: Path, target: Path) -> None:
    """Put a program in its place: the file itself, or the one of that name in an archive."""
    if archive.name.endswith(".tar.gz"):
        with tarfile.open(archive) as tar:
            member = next((each for each in tar if each.isfile() and Path(each.name).name == name), None)
            content = tar.extractfile(member) if member is not None else None
            if content is None:
                sys.exit(f"{archive.name} has no {name}.")
            with content, target.open("wb") as out:
                shutil.copyfileobj(content, out)
    else:
        shutil.copyfile(archive, target)
    target.chmod(0o755)


def install_plugin(name: str, version: str, archive: Path, folder: Path) -> None:
    """Let Pulumi install a plugin from its archive, so that the engine finds what it expects."""
    home = folder / "home"
    environment = {**os.environ, "PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    pulumi = folder / "bin" / "pulumi"
    command = [pulumi, "plugin", "install", "resource", name, version, "--file", archive, "--reinstall"]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"pulumi plugin install {name} {version} failed: {done.stdout}{done.stderr}")
    installed = home / "plugins"
    (folder / "plugins").mkdir(exist_ok=True)
    for each in installed.iterdir():
        each.rename(folder / "plugins" / each.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
