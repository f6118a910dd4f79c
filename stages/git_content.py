"""What a commit refers to and does not hold itself: submodules, and large files in Git LFS."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

from aphex.process import Completed
from stages.context import without_credentials
from stages.git import CheckoutError, Git, readable, says
from stages.git_errors import Origin

_WHOLE_NEEDED = ("did not contain", "not our ref", "unadvertised object", "dumb http transport")
_SUBMODULE = re.compile(r"clone of '(?P<url>[^']+)' into submodule path '(?P<path>[^']+)' failed")
_OTHER_SUBMODULE = re.compile(r"submodule path '(?P<path>[^']+)'")
_OBJECT = re.compile(r"\[(?P<oid>[0-9a-f]{64})\]")
_OBJECT_MISSING = ("object does not exist", "[404]")
_SHOWN = 10


class SubmoduleError(CheckoutError):
    """A submodule is not as the commit records it, or nowhere."""


class LargeFileError(CheckoutError):
    """A file in Git LFS cannot be had."""


def fetch_submodules(git: Git, origin: Origin) -> list[Git]:
    """Fetch the submodules, shallow and recursive, at the commits that are recorded; returns a git for each.

    Raises:
        CheckoutError: one of them cannot be fetched.
    """
    if not (git.folder / ".gitmodules").is_file():
        return []
    git.report("Fetching the submodules")
    update = ("submodule", "update", "--init", "--recursive", "--jobs=4")
    fetched = git.retried(*update, "--depth=1", GIT_LFS_SKIP_SMUDGE="1")
    if not fetched.ok and says(fetched, _WHOLE_NEEDED):
        git.report("A server does not serve the recorded commits by themselves: fetching the submodules whole.")
        git.run("submodule", "deinit", "--all", "--force")
        shutil.rmtree(git.folder / ".git" / "modules", ignore_errors=True)
        fetched = git.retried(*update, GIT_LFS_SKIP_SMUDGE="1")
    if not fetched.ok:
        raise _submodule_error(git, origin, fetched)
    listed = git.run("submodule", "foreach", "--quiet", "--recursive", 'printf "%s\\0" "$displaypath"').output
    return [git.within(git.folder / path) for path in listed.split("\0") if path]


def fetch_large_files(git: Git, origin: Origin) -> None:
    """Fetch the files that Git LFS keeps, when the commit has such files.

    Raises:
        LargeFileError: one of them is missing, or git-lfs is.
        CheckoutError: the server cannot be reached, or refuses.
    """
    attributes = ("HEAD", "--", ":(glob)**/.gitattributes")
    if not git.run("grep", "--quiet", "--fixed-strings", "filter=lfs", *attributes, check=False).ok:
        return
    if not git.run("lfs", "version", check=False).ok:
        raise LargeFileError(
            f"{origin.what} has files in Git LFS, and the image has no git-lfs.",
            hint="Use the builder image of this version, or add git-lfs to your own.",
        )
    git.report("Fetching large files from Git LFS")
    # Kept in the clone: later commands of git compare such files through the same filter.
    git.run("lfs", "install", "--local", "--skip-repo")
    pulled = git.retried("lfs", "pull", "origin")
    if pulled.ok:
        return
    if says(pulled, _OBJECT_MISSING):
        raise _missing_objects(git, origin, pulled)
    raise origin.error(pulled)


def _submodule_error(git: Git, origin: Origin, failed: Completed) -> CheckoutError:
    text = readable(failed)
    named = list(_SUBMODULE.finditer(text)) or list(_OTHER_SUBMODULE.finditer(text))
    if not named:
        return SubmoduleError(f"The submodules of {origin.what} cannot be fetched.\n{text}")
    found = named[0].groupdict()
    path = found["path"].removeprefix(f"{git.folder}/")
    url = without_credentials(found.get("url", ""))
    what = f"The submodule {path} ({url})" if url else f"The submodule {path}"
    if says(failed, _WHOLE_NEEDED):
        return SubmoduleError(
            f"{what} does not have the commit that is recorded.\n{text.splitlines()[-1]}",
            hint="Push the submodule's commit to its own repository, then start the run again.",
        )
    if "no url found" in text.lower():
        return SubmoduleError(f"{what} has no address in .gitmodules.", hint="Add it there, or remove the submodule.")
    ssh = url.startswith("ssh://") or bool(re.match(r"[^/]+@[^/]+:", url))
    return replace(origin, what=what, ssh=ssh).error(failed)


def _missing_objects(git: Git, origin: Origin, failed: Completed) -> LargeFileError:
    missing = {found["oid"] for found in _OBJECT.finditer(failed.output)}
    names = []
    for line in git.run("lfs", "ls-files", "--long", check=False).output.splitlines():
        oid, _, name = line.partition(" ")
        if oid in missing:
            names.append(f"  {name[2:]} ({oid[:12]})")
    more = [f"  and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    listing = "\n".join([*sorted(names)[:_SHOWN], *more]) or readable(failed)
    return LargeFileError(
        f"{origin.what} lacks files in Git LFS that the commit has:\n{listing}",
        hint="Push them from a clone that has them: git lfs push --all origin",
    )
