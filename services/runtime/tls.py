"""Certificates of one process: read, checked, watched and read again without a restart.

Three files (certificate chain, key, trusted CAs) that an operator or a cert-manager replaces while we run.
`Certificates.refresh` looks at the files' stamps and takes new ones in only when all of them are good
together, so that a half-written set never cuts anybody off. The server asks before each handshake, channels
once in `RELOAD_PERIOD` (rotating_channel.py). It knows nothing of who may call what (peers.py).

A server proves its service by the DNS name `<service>.tgfleet` in its certificate, wherever it listens;
clients check that name (`server_name`). A client proves who it is by the URI
`spiffe://tgfleet/<service>/<id>`. Certificates of internal services carry both.
"""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from services.runtime.errors import SettingsError
from services.runtime.logs import get_logger
from services.runtime.metrics import gauge

RELOAD_PERIOD = 1.0
"""Seconds between two looks at the files; a look is three calls of stat."""
TRUST_DOMAIN = "tgfleet"
SPIFFE_PREFIX = f"spiffe://{TRUST_DOMAIN}/"

_log = get_logger("runtime.tls")
_EXPIRY = gauge("tgfleet_tls_expiry_seconds", "Unix time at which the certificate in use expires.", ["file"])


def server_name(service: str) -> str:
    """The DNS name that the certificate of an internal service carries, as in `registry.tgfleet`."""
    return f"{service}.{TRUST_DOMAIN}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose certificate it is: `service` as in registry, scheduler, worker, gateway; a worker's id is its
    worker_id."""

    service: str
    id: str

    def __str__(self) -> str:
        return f"{self.service}/{self.id}"

    @classmethod
    def parse(cls, uri: str) -> "Identity | None":
        """The identity in `spiffe://tgfleet/<service>/<id>`; None for any other URI."""
        if not uri.startswith(SPIFFE_PREFIX):
            return None
        service, _, name = uri.removeprefix(SPIFFE_PREFIX).partition("/")
        return cls(service, name) if service and name and "/" not in name else None


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the PEM files are. `setting` is how the settings' names begin, for sentences; without `ca` the
    certificate is for a server that takes any client."""

    setting: str
    certificate: Path
    key: Path
    ca: Path | None

    @classmethod
    def of(
        cls, setting: str, certificate: Path | None, key: Path | None, ca: Path | None = None, *, mutual: bool
    ) -> "CertificateFiles | None":
        """None when no file is given. Raises SettingsError when only some are."""
        given = {"CERT_FILE": certificate, "KEY_FILE": key, **({"CA_FILE": ca} if mutual else {})}
        missing = [f"{setting}_{name}" for name, path in given.items() if path is None]
        if len(missing) == len(given):
            return None
        if missing or certificate is None or key is None:
            raise SettingsError(
                f"{' and '.join(missing)} must be set, too: TLS needs all of its files or none",
                reason="BAD_SETTING",
            )
        return cls(setting, certificate, key, ca)

    def stamps(self) -> tuple[object, ...]:
        """Changes whenever a file was replaced or written. Raises OSError when one is gone."""
        stats = [path.stat() for path in (self.certificate, self.key, self.ca) if path is not None]
        return tuple((s.st_dev, s.st_ino, s.st_mtime_ns, s.st_size) for s in stats)


@dataclass(frozen=True, slots=True)
class Material:
    """One good set of PEM texts and whose it is."""

    chain: bytes
    key: bytes = field(repr=False)
    roots: bytes | None
    identity: Identity | None
    expires: datetime


def load_material(files: CertificateFiles, now: datetime) -> Material:
    """Reads and checks a set. Raises SettingsError with a sentence that names the setting at fault."""
    chain_text = _read(files.certificate, f"{files.setting}_CERT_FILE")
    key_text = _read(files.key, f"{files.setting}_KEY_FILE")
    roots_text = _read(files.ca, f"{files.setting}_CA_FILE") if files.ca is not None else None
    chain = _certificates(chain_text, f"{files.setting}_CERT_FILE")
    leaf = chain[0]
    check_time(leaf, now, f"{files.setting}_CERT_FILE")
    if _public(leaf.public_key()) != _public(
        _private_key(key_text, f"{files.setting}_KEY_FILE").public_key()
    ):
        raise _bad(f"{files.setting}_KEY_FILE", "is not the key of the certificate")
    if roots_text is not None:
        check_issuer(chain, _certificates(roots_text, f"{files.setting}_CA_FILE"), files.setting)
    return Material(chain_text, key_text, roots_text, identity_of(leaf), leaf.not_valid_after_utc)


class Certificates:
    """A watched set. Its methods may be called from any thread: gRPC asks from threads of its own."""

    def __init__(self, files: CertificateFiles) -> None:
        """Raises SettingsError when the files cannot be used."""
        self._files = files
        self._lock = threading.Lock()
        try:
            self._stamps = files.stamps()
        except OSError:
            self._stamps = ()  # reading tells which file it is
        self._material = load_material(files, datetime.now(UTC))
        self._told()

    @property
    def material(self) -> Material:
        """The set in use."""
        return self._material

    @property
    def identity(self) -> Identity:
        """Whose certificate it is. Raises SettingsError for one that names no service."""
        if self._material.identity is None:
            raise _bad(
                f"{self._files.setting}_CERT_FILE",
                f"names no service: it needs a URI {SPIFFE_PREFIX}<service>/<id> among its alternative names",
            )
        return self._material.identity

    def refresh(self) -> Material:
        """Takes new files in if they are good; the set in use. Bad ones are told once and left alone."""
        with self._lock:
            try:
                stamps = self._files.stamps()
            except OSError:
                return self._material  # in the middle of being replaced
            if stamps != self._stamps:
                self._stamps = stamps
                self._reload()
            return self._material

    def _reload(self) -> None:
        try:
            material = load_material(self._files, datetime.now(UTC))
            if material.identity != self._material.identity:
                raise _bad(f"{self._files.setting}_CERT_FILE", "is now the certificate of somebody else")
        except SettingsError as error:
            _log.error("new certificate files are not used", detail=error.message)
        else:
            if material != self._material:
                self._material = material
                self._told()

    def _told(self) -> None:
        _EXPIRY.labels(str(self._files.certificate.name)).set(self._material.expires.timestamp())
        _log.info(
            "certificate in use",
            setting=self._files.setting,
            identity=str(self._material.identity or "-"),
            expires=self._material.expires.isoformat(),
        )


def client_certificates(
    setting: str, certificate: Path | None, key: Path | None, ca: Path | None
) -> Certificates | None:
    """What this process shows to something outside of the fleet, and whom it trusts there; None when no file
    is given. Raises SettingsError when only some are, or they cannot be used."""
    files = CertificateFiles.of(setting, certificate, key, ca, mutual=True)
    return None if files is None else Certificates(files)


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Credentials of a server that asks for the newest set before each handshake. Where CAs are given, only
    clients with a certificate of theirs are let in."""
    last = certificates.material

    def newest() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last
        material = certificates.refresh()
        if material is last:
            return None
        last = material
        return _configuration(material)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(last),
        newest,  # type: ignore[arg-type]  # None means unchanged; the stubs forgot it
        require_client_authentication=last.roots is not None,
    )


def channel_credentials(material: Material) -> grpc.ChannelCredentials:
    """Credentials of a client that shows this certificate and trusts these CAs."""
    return grpc.ssl_channel_credentials(material.roots, material.key, material.chain)


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.roots)


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _bad(name, f"cannot be read ({error.strerror})") from error


def _certificates(pem: bytes, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise _bad(name, "holds no PEM certificate that can be read") from error


def _private_key(pem: bytes, name: str) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _bad(name, "holds no PEM private key without a password") from error


def _public(key: object) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(encoding, form))  # type: ignore[attr-defined]  # every key has it


def check_time(leaf: x509.Certificate, now: datetime, name: str) -> None:
    """Raises SettingsError, naming the setting `name`, for one that has expired or is not valid yet."""
    if now >= leaf.not_valid_after_utc:
        raise _bad(name, f"has expired ({leaf.not_valid_after_utc.isoformat()})")
    if now < leaf.not_valid_before_utc:
        raise _bad(name, f"is not valid before {leaf.not_valid_before_utc.isoformat()}")


def check_issuer(chain: list[x509.Certificate], roots: list[x509.Certificate], setting: str) -> None:
    """The chain must end at a CA that this process itself trusts: its neighbours trust the same ones. Raises
    SettingsError, naming the settings that begin with `setting`."""
    for child, parents in zip(chain, [*([link] for link in chain[1:]), roots], strict=True):
        if child not in parents and not any(_issued(child, parent) for parent in parents):
            raise _bad(f"{setting}_CERT_FILE", f"was not issued by a CA in {setting}_CA_FILE")


def _issued(child: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(parent)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def identity_of(leaf: x509.Certificate) -> Identity | None:
    """Whom a certificate names; None when nobody, or several."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    found = [identity for uri in uris if (identity := Identity.parse(uri))]
    return found[0] if len(found) == 1 else None


def _bad(name: str, what: str) -> SettingsError:
    return SettingsError(f"The file in {name} {what}", reason="BAD_CERTIFICATE")
