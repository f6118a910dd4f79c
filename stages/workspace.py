"""Where a stage keeps its files: the same paths in each stage, so that what a build made still works later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The folders of a stage below the pod's volume."""

    root: Path

    @property
    def source(self) -> Path:
        """The clone of the repository; commands run here."""
        return self.root / "source"

    @property
    def private(self) -> Path:
        """The stage's own files, readable by their owner alone."""
        return self.root / "aphex"

    @property
    def log(self) -> Path:
        """All that the stage printed."""
        return self.private / "stage.log"

    @property
    def outputs(self) -> Path:
        """The stack outputs of the environments so far, for commands."""
        return self.private / "outputs.json"

    @property
    def aws_config(self) -> Path:
        """The AWS configuration file with the profiles of another account."""
        return self.private / "aws-config"

    @property
    def assemblies(self) -> Path:
        """The cloud assemblies, one folder a CDK app."""
        return self.root / "assembly"

    def prepare(self) -> None:
        """Make the folders."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.private.mkdir(mode=0o700, exist_ok=True)
