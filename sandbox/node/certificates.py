"""The sandbox's own certificate authority, and the certificates that its components trust each other by."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=3650)
_CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whom a certificate names.

    Attributes:
        file: base name of the certificate's and the key's files.
        common_name: the user, for Kubernetes.
        groups: the user's groups, for Kubernetes.
        names: DNS names that a server answers to.
        addresses: addresses that a server answers at.
    """

    file: str
    common_name: str
    groups: Sequence[str] = ()
    names: Sequence[str] = ()
    addresses: Sequence[IPv4Address] = ()


@dataclass(frozen=True)
class Authority:
    """A certificate authority whose files are in one folder; what exists there is kept."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self.directory / "ca.crt"

    def ensure(self) -> None:
        """Make the authority and the key of service-account tokens, unless they exist."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.directory / "service-accounts.key").exists():
            # RSA, because AWS takes no other signature on a web-identity token.
            _write_key(
                self.directory / "service-accounts.key", rsa.generate_private_key(public_exponent=65537, key_size=2048)
            )
        if not self.certificate.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            _write_key(self.directory / "ca.key", key)
            name = _name("aphex-sandbox-ca")
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            certificate = (
                _builder(name, name, key.public_key())
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(usage, critical=True)
                .sign(key, hashes.SHA256())
            )
            _write(self.certificate, certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, subject: Subject) -> None:
        """Make a certificate and its key for a client and server, unless they exist."""
        target = self.directory / f"{subject.file}.crt"
        if target.exists():
            return
        issuer_key = serialization.load_pem_private_key((self.directory / "ca.key").read_bytes(), None)
        issuer = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in subject.names]
        alternatives += [x509.IPAddress(address) for address in subject.addresses]
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = (
            _builder(_name(subject.common_name, subject.groups), issuer.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        _write_key(self.directory / f"{subject.file}.key", key)
        _write(target, builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _name(common_name: str, groups: Sequence[str] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - _CLOCK_SKEW,
        not_valid_after=now + _LIFETIME,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    _write(path, key.private_bytes(encoding, form, serialization.NoEncryption()))


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
