"""Certificate files are checked before they are used, and each fault has its sentence."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.runtime.errors import SettingsError
from services.runtime.tls import CertificateFiles, Identity, load_material
from tests.support.certificates import DAY, Authority, Paths

NOW = datetime.now(UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def files(paths: Paths) -> CertificateFiles:
    return CertificateFiles("TGFLEET_TLS", paths.certificate, paths.key, paths.ca)


def refused(paths: Paths, now: datetime = NOW) -> str:
    with pytest.raises(SettingsError) as caught:
        load_material(files(paths), now)
    assert "BEGIN" not in caught.value.message
    return caught.value.message


def test_a_good_set_names_its_service_and_worker(authority: Authority) -> None:
    material = load_material(files(authority.issue("worker", "w-1")), datetime.now(UTC))
    assert material.identity == Identity("worker", "w-1")
    assert material.expires > NOW
    assert "PRIVATE" not in repr(material)


def test_an_expired_certificate(authority: Authority) -> None:
    assert "has expired" in refused(authority.issue("worker", "w-1", age=2 * DAY))


def test_a_certificate_of_the_future(authority: Authority) -> None:
    assert "is not valid before" in refused(authority.issue("worker", "w-1"), NOW - DAY)


def test_a_key_of_another_certificate(authority: Authority) -> None:
    one, other = authority.issue("worker", "w-1"), authority.issue("worker", "w-2")
    assert "TGFLEET_TLS_KEY_FILE is not the key" in refused(Paths(one.certificate, other.key, one.ca))


def test_a_certificate_of_another_ca(authority: Authority, tmp_path: Path) -> None:
    one, other = authority.issue("worker", "w-1"), Authority(tmp_path / "other").issue("worker", "w-1")
    assert "was not issued by a CA" in refused(Paths(one.certificate, one.key, other.ca))


@pytest.mark.parametrize("which", ["certificate", "key", "ca"])
def test_files_that_are_missing_or_no_pem(authority: Authority, which: str) -> None:
    paths = authority.issue("worker", "w-1")
    getattr(paths, which).write_text("nothing of use")
    assert "holds no PEM" in refused(paths)
    getattr(paths, which).unlink()
    assert "cannot be read" in refused(paths)


def test_all_settings_or_none(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert CertificateFiles.of("TGFLEET_TLS", None, None, None, mutual=True) is None
    with pytest.raises(SettingsError, match="TGFLEET_TLS_KEY_FILE and TGFLEET_TLS_CA_FILE must be set"):
        CertificateFiles.of("TGFLEET_TLS", path, None, None, mutual=True)
    with pytest.raises(SettingsError, match="TGFLEET_GATEWAY_TLS_KEY_FILE must be set"):
        CertificateFiles.of("TGFLEET_GATEWAY_TLS", path, None, mutual=False)


@pytest.mark.parametrize(
    ("uri", "identity"),
    [
        ("spiffe://tgfleet/worker/w-1", Identity("worker", "w-1")),
        ("spiffe://tgfleet/worker/", None),
        ("spiffe://tgfleet/worker", None),
        ("spiffe://tgfleet/worker/a/b", None),
        ("spiffe://elsewhere/worker/w-1", None),
        ("https://tgfleet/worker/w-1", None),
    ],
)
def test_identities(uri: str, identity: Identity | None) -> None:
    assert Identity.parse(uri) == identity


def test_new_files_are_taken_up_and_bad_or_foreign_ones_are_not(authority: Authority) -> None:
    paths = authority.issue("worker", "w-1")
    certificates = paths.certificates()
    first = certificates.material
    assert certificates.refresh() is first
    paths.key.write_text("half written")
    assert certificates.refresh() is first
    paths.become(authority.issue("worker", "w-2"))
    assert certificates.refresh() is first, "another worker's certificate must not be taken"
    paths.become(authority.issue("worker", "w-1", "again", valid=timedelta(days=3)))
    second = certificates.refresh()
    assert second is not first
    assert second.expires > first.expires
