"""The certificate authorities that this machine trusts: image builds and containers are to trust a company's too."""

from __future__ import annotations

import os
from pathlib import Path

_NAMED_BY = ("SSL_CERT_FILE", "CURL_CA_BUNDLE")
_USUAL = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def host_ca_bundle() -> Path | None:
    """The file of the authorities, past symbolic links: the one that the environment names, else one of the usual.

    Returns:
        None when there is none in any of these places.
    """
    named = [value for name in _NAMED_BY if (value := os.environ.get(name))]
    return next((Path(place).resolve() for place in (*named, *_USUAL) if Path(place).is_file()), None)
