"""A certificate authority for development and tests: files in a folder, no revocation, no passwords.

In production cert-manager or your own CA issues the certificates; they need the same names (`names_of`).
"""

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.runtime.errors import SettingsError
from services.runtime.tls import SPIFFE_PREFIX, server_name

SERVICES = ("registry", "scheduler", "worker", "gateway", "etcd")
CA_CERTIFICATE, CA_KEY = "ca.crt", "ca.key"
_CLOCK_SLACK = timedelta(minutes=5)
_NAME = re.compile(r"[a-z0-9.-]{1,63}")


def make_ca(directory: Path, valid: timedelta, *, now: datetime | None = None) -> Path:
    """Writes ca.crt and ca.key; the certificate's path. Raises SettingsError when there is a CA already."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificate, key_file = directory / CA_CERTIFICATE, directory / CA_KEY
    if certificate.exists() or key_file.exists():
        raise SettingsError(f"There is a CA in {directory} already; take another folder.")
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("tgfleet development CA")
    builder = (
        _builder(name, name, key.public_key(), valid, now or datetime.now(UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    write_secret(key_file, _pem(key))
    replace_file(certificate, _text(builder.sign(key, hashes.SHA256())))
    return certificate


def issue(
    directory: Path,
    service: str,
    name: str,
    *,
    valid: timedelta,
    hosts: Sequence[str] = (),
    out: Path | None = None,
    now: datetime | None = None,
) -> Path:
    """Writes <service>-<name>.crt and .key into `out` (default: the CA's folder) in place of older ones; the
    certificate's path. Raises SettingsError for names that cannot be and without a CA."""
    if service not in SERVICES or not _NAME.fullmatch(name):
        raise SettingsError(
            f"A certificate is for one of {', '.join(SERVICES)}, with a name of a-z, 0-9, - ."
        )
    ca_key, ca = _load_ca(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(_subject(f"{service} {name}"), ca.subject, key.public_key(), valid, now or datetime.now(UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names_of(service, name, hosts)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    target = out or directory
    target.mkdir(parents=True, exist_ok=True)
    certificate = target / f"{service}-{name}.crt"
    write_secret(certificate.with_suffix(".key"), _pem(key))
    replace_file(certificate, _text(builder.sign(ca_key, hashes.SHA256())))
    return certificate


def names_of(service: str, name: str, hosts: Sequence[str]) -> list[x509.GeneralName]:
    """What a certificate says: who it is (URI), which service it may serve as (DNS), where (hosts)."""
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(f"{SPIFFE_PREFIX}{service}/{name}"),
        x509.DNSName(server_name(service)),
    ]
    for host in hosts:
        try:
            names.append(x509.IPAddress(ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def write_secret(path: Path, text: bytes) -> None:
    """A file that only its owner can read, put in place at once."""
    replace_file(path, text, mode=0o600)


def replace_file(path: Path, text: bytes, mode: int = 0o644) -> None:
    """Puts a whole new file in the place of the old one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(text)
    temporary.replace(path)


def _load_ca(directory: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        key = serialization.load_pem_private_key((directory / CA_KEY).read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((directory / CA_CERTIFICATE).read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"There is no CA in {directory}; make one with `tgfleet certs ca`.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SettingsError(f"The CA in {directory} was not made by `tgfleet certs ca`.")
    return key, certificate


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: timedelta, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + valid)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, none)


def _text(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
