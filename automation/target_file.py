"""aphex-target.yaml: what platform engineers say of the place where pipelines run, when the usual settings do not fit.

It stays with whoever deploys. An application's repository must not decide how its pipeline is reached or who its pods
are, so none of this is in aphex-config.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from aphex.errors import UsageError

if TYPE_CHECKING:
    from aphex_platform.settings import PlatformSettings

TARGET_FILE = "aphex-target.yaml"
_SECTIONS = ("alarms", "argo_url", "aws", "event_bus", "run", "webhook")
# Account, region and issuer are what they are.
_AWS = ("cluster", "identity", "managed_policies")
Overrides = Mapping[str, Any]


def load_overrides(file: Path | None) -> Overrides:
    """What the file says; nothing when none is named and none is in this folder.

    Raises:
        UsageError: it cannot be read, or says something that is not the place's to say.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = file or Path(TARGET_FILE)
    if file is None and not path.exists():
        return {}
    try:
        document = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    return checked(document or {}, path)


def checked(document: Any, path: Path) -> Overrides:
    """The document, when it says only what is the place's to say.

    Raises:
        UsageError: it says something else.
    """
    if not isinstance(document, dict):
        raise UsageError(f"{path} is not a mapping.", hint=f"It has the sections {', '.join(_SECTIONS)}.")
    unknown = [str(key) for key in document if key not in _SECTIONS]
    aws = document.get("aws") or {}
    unknown += [f"aws.{key}" for key in aws if key not in _AWS] if isinstance(aws, dict) else ["aws"]
    if unknown:
        raise UsageError(
            f"{path} has {', '.join(unknown)}, which it does not decide.",
            hint=f"It has the sections {', '.join(_SECTIONS)}; of aws only {', '.join(_AWS)}.",
        )
    return document


def overridden(settings: PlatformSettings, overrides: Overrides) -> PlatformSettings:
    """The settings, with what the file says in the place of what the target gave.

    Raises:
        UsageError: a value is not valid, or does not fit the target.
    """
    from aphex_platform.settings import PlatformSettings

    if not overrides:
        return settings
    try:
        return PlatformSettings.model_validate(_merged(settings.model_dump(mode="json"), overrides))
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
        raise UsageError("\n".join([f"{TARGET_FILE} does not fit:", *lines])) from error


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        deeper = isinstance(value, Mapping) and isinstance(inner, Mapping) and key != "annotations"
        result[key] = _merged(inner or {}, value) if deeper else value
    return result
