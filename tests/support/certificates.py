"""Certificates for tests: a CA in a folder and what it issues, as `tgfleet certs` makes them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc

from services.admin import development_ca
from services.runtime.tls import CertificateFiles, Certificates, server_name

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Paths:
    """The three files of one process."""

    certificate: Path
    key: Path
    ca: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "TGFLEET_TLS_CERT_FILE": str(self.certificate),
            "TGFLEET_TLS_KEY_FILE": str(self.key),
            "TGFLEET_TLS_CA_FILE": str(self.ca),
        }

    def certificates(self) -> Certificates:
        return Certificates(CertificateFiles("TGFLEET_TLS", self.certificate, self.key, self.ca))

    def channel_credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            self.ca.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes()
        )

    def become(self, other: Paths) -> None:
        """The other's files in the place of these, each whole, the key first."""
        for mine, theirs in (
            (self.key, other.key),
            (self.certificate, other.certificate),
            (self.ca, other.ca),
        ):
            temporary = mine.with_suffix(".new")
            shutil.copy(theirs, temporary)
            temporary.replace(mine)


class Authority:
    """One CA. Each process gets a folder of its own, so that its files can be replaced alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = development_ca.make_ca(directory, 10 * DAY)

    def issue(
        self,
        service: str,
        name: str,
        folder: str = "",
        *,
        valid: timedelta = DAY,
        age: timedelta | None = None,
    ) -> Paths:
        """`age` is how long ago it was issued."""
        out = self.directory / (folder or f"{service}-{name}")
        now = datetime.now(UTC) - (age or timedelta())
        certificate = development_ca.issue(
            self.directory, service, name, valid=valid, hosts=["127.0.0.1", "localhost"], out=out, now=now
        )
        ca = out / "ca.crt"
        shutil.copy(self.ca, ca)
        return Paths(certificate, certificate.with_suffix(".key"), ca)


def named(service: str) -> tuple[tuple[str, str], ...]:
    """Channel options that expect this service at the other end."""
    return (("grpc.ssl_target_name_override", server_name(service)),)
