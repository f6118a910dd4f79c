"""A saved preview: Pulumi's update plan, and a digest of what it was made from so that nothing else is applied."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aphex.errors import UsageError
from automation.changes import PropertyChange, ResourceChange

if TYPE_CHECKING:
    from aphex_platform.settings import PlatformSettings

    from aphex.config import PipelineConfig

FORMAT = "aphex-plan/1"


class SavedPlan(BaseModel):
    """The file that `preview --save` writes and `up --plan` reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = Field(default=FORMAT, pattern=f"^{FORMAT}$")
    pipeline: str
    configuration: str = Field(description="SHA-256 of the configuration")
    settings: str = Field(description="SHA-256 of the settings: the target, and the images of the stages")
    changes: list[dict[str, Any]] = Field(description="What a person was shown")
    plan: dict[str, Any] = Field(description="Pulumi's update plan; its secrets are encrypted")
    salt: str | None = Field(default=None, description="What they are encrypted with, beside the passphrase")

    def resource_changes(self) -> tuple[ResourceChange, ...]:
        """What a person was shown, as changes again."""
        return tuple(
            ResourceChange(
                **{**each, "properties": tuple(PropertyChange(**inner) for inner in each.get("properties", ()))}
            )
            for each in self.changes
        )

    def save(self, path: Path) -> None:
        """Write the plan for its owner alone: it names every resource of the pipeline."""
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(self.model_dump_json(indent=2) + "\n")


def digest(model: BaseModel) -> str:
    """A configuration or settings as one number: equal exactly when they are."""
    return hashlib.sha256(json.dumps(model.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def load_plan(path: Path, config: PipelineConfig, settings: PlatformSettings) -> SavedPlan:
    """Read a saved plan and make sure that it was made from this configuration for this target.

    Raises:
        UsageError: the file is no plan, or it was made from something else.
    """
    hint = "Make a new one: python -m automation preview --save FILE"
    try:
        saved = SavedPlan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"The plan {path} cannot be read: {error.strerror}.", hint=hint) from error
    except ValidationError as error:
        raise UsageError(f"{path} is not a plan that `preview --save` wrote.", hint=hint) from error
    if saved.pipeline != settings.pipeline:
        raise UsageError(
            f"The plan {path} is for the pipeline {saved.pipeline}, not for {settings.pipeline}.", hint=hint
        )
    if saved.configuration != digest(config):
        raise UsageError(f"The plan {path} was made from another configuration; nothing was done.", hint=hint)
    if saved.settings != digest(settings):
        raise UsageError(
            f"The plan {path} was made for another target, or for other images of the stages; nothing was done.",
            hint=hint,
        )
    return saved
