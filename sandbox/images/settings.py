"""What a build's package managers are to use: settings and certificates that are in no layer, argument or log."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.certificates import host_ca_bundle

ENVIRONMENT = "build-environment"
CERTIFICATES = "certificates"
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO")
_PLACE_OF_CERTIFICATES = f"/run/secrets/{CERTIFICATES}"
# Settings by which people point package managers at a mirror or a proxy.
PASSED_ON = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_HTTP_TIMEOUT",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "APHEX_DEBIAN_MIRROR",
    "APHEX_PROGRAMS_URL",
)


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """Settings of a build. They are handed over as secrets of the build, because a URL may have a password in it.

    Attributes:
        environment: variables of the build's package managers.
        certificates: files of the authorities that they are to trust; none for those of the base image.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    certificates: tuple[Path, ...] = ()

    def script(self) -> str:
        """Shell assignments that make a build's package managers use these settings."""
        settings = dict(self.environment)
        if "PIP_INDEX_URL" in settings:
            settings.setdefault("UV_DEFAULT_INDEX", settings["PIP_INDEX_URL"])
        if self.certificates:
            settings |= dict.fromkeys(_CERTIFICATE_VARIABLES, _PLACE_OF_CERTIFICATES)
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())

    @contextmanager
    def files(self, folder: Path | None = None) -> Iterator[dict[str, Path]]:
        """The secrets' files by their ids, as long as the context lasts; only their owner can read them.

        Args:
            folder: where they are made; by default the system's folder for such files.
        """
        contents = {ENVIRONMENT: self.script()}
        if self.certificates:
            contents[CERTIFICATES] = "\n".join(path.read_text() for path in self.certificates)
        with ExitStack() as stack:
            files = {}
            for name, content in contents.items():
                file = stack.enter_context(tempfile.NamedTemporaryFile("w", dir=folder))
                file.write(content)
                file.flush()
                files[name] = Path(file.name)
            yield files


def host_settings(environment: Mapping[str, str] = os.environ) -> BuildSettings:
    """The settings of this machine: what its environment says to package managers, and the authorities it trusts."""
    return BuildSettings(
        environment={name: environment[name] for name in PASSED_ON if environment.get(name)},
        certificates=tuple(filter(None, (host_ca_bundle(),))),
    )
