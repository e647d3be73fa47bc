"""Addresses as settings write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.addresses import Endpoints, HostPort


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("registry.tgfleet:1", False),
        ("192.168.0.1:1", False),
    ],
)
def test_loopback(text: str, loopback: bool) -> None:
    assert HostPort.parse(text).is_loopback is loopback
    assert str(HostPort.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", ":", "a", "a:", ":1", "a:-1", "a:1x", "a:²", "a/b:1", "u@h:1", "a b:1", "::1:5"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|the port"):
        HostPort.parse(text)


@pytest.mark.parametrize("text", ["a:1", "a:1,b:2", "dns:///x.y:5", "[::1]:1,127.0.0.1:2"])
def test_endpoints_are_read_back(text: str) -> None:
    assert str(Endpoints.parse(text)) == text


@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_address_is_read_back(address: object, port: int) -> None:
    written = HostPort(str(address), port)
    assert HostPort.parse(str(written)) == written
