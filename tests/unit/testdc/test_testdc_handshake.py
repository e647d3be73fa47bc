"""The key exchange, step by step, with both ways to pad what RSA encrypts."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha1, sha256
from io import BytesIO
from typing import Any

import pytest
from pyrogram import raw
from pyrogram.crypto import aes
from pyrogram.raw.core import TLObject

from services.testdc.mtproto.handshake import Handshake, HandshakeError, plain_packet
from services.testdc.mtproto.rsakey import RsaKey, load_key, make_key


@pytest.fixture(scope="module")
def key() -> RsaKey:
    """One key for all tests here."""
    return make_key()


def _pad_old(data: bytes, key: RsaKey) -> bytes:
    padded = sha1(data).digest() + data
    padded += os.urandom(255 - len(padded))
    return _rsa(padded, key)


def _pad_new(data: bytes, key: RsaKey) -> bytes:
    """RSA_PAD of https://core.telegram.org/mtproto/auth_key"""
    data += os.urandom(192 - len(data))
    while True:
        temporary = os.urandom(32)
        inner = data[::-1] + sha256(temporary + data).digest()
        cipher = aes.ige256_encrypt(inner, temporary, bytes(32))
        mixed = bytes(a ^ b for a, b in zip(temporary, sha256(cipher).digest(), strict=True)) + cipher
        if int.from_bytes(mixed, "big") < key.n:
            return _rsa(mixed, key)


def _rsa(data: bytes, key: RsaKey) -> bytes:
    return pow(int.from_bytes(data, "big"), key.e, key.n).to_bytes(256, "big")


def _inner(offer: Any, new_nonce: int, **more: Any) -> dict[str, Any]:
    p, q = 1244159563, 1558201013
    assert int.from_bytes(offer.pq, "big") == p * q
    return {
        "pq": offer.pq,
        "p": p.to_bytes(4, "big"),
        "q": q.to_bytes(4, "big"),
        "nonce": offer.nonce,
        "server_nonce": offer.server_nonce,
        "new_nonce": new_nonce,
        **more,
    }


def _exchange(key: RsaKey, data: Callable[[Any, int], bytes], pad: Callable[[bytes, RsaKey], bytes]) -> None:
    exchange, new_nonce = Handshake(key), os.urandom(32)
    offer = _step(exchange, raw.functions.ReqPqMulti(nonce=-5))
    assert offer.server_public_key_fingerprints == [key.fingerprint]
    cipher = pad(data(offer, int.from_bytes(new_nonce, "little", signed=True)), key)
    nonces = {"nonce": -5, "server_nonce": offer.server_nonce}
    request = raw.functions.ReqDHParams(
        p=b"", q=b"", public_key_fingerprint=key.fingerprint, encrypted_data=cipher, **nonces
    )
    answer = _step(exchange, request)
    server = offer.server_nonce.to_bytes(16, "little", signed=True)
    a, b = sha1(new_nonce + server).digest(), sha1(server + new_nonce).digest()
    temporary = (a + b[:12], b[12:] + sha1(new_nonce + new_nonce).digest() + new_nonce[:4])
    plain = aes.ige256_decrypt(answer.encrypted_answer, *temporary)
    parameters = TLObject.read(BytesIO(plain[20:]))
    assert sha1(parameters.write()).digest() == plain[:20]
    prime, secret = int.from_bytes(parameters.dh_prime, "big"), 12345678901234567890
    g_b = pow(parameters.g, secret, prime).to_bytes(256, "big")
    mine = raw.types.ClientDHInnerData(retry_id=0, g_b=g_b, **nonces).write()
    mine = sha1(mine).digest() + mine
    mine += os.urandom(-len(mine) % 16)
    done = _step(
        exchange,
        raw.functions.SetClientDHParams(encrypted_data=aes.ige256_encrypt(mine, *temporary), **nonces),
    )
    shared = pow(int.from_bytes(parameters.g_a, "big"), secret, prime).to_bytes(256, "big")
    assert exchange.auth_key == shared
    proof = sha1(new_nonce + b"\x01" + sha1(shared).digest()[:8]).digest()[4:]
    assert done.new_nonce_hash1.to_bytes(16, "little", signed=True) == proof


def _step(exchange: Handshake, query: Any) -> Any:
    return exchange.step(plain_packet(query, 4), now=1_700_000_000.0)


def test_the_old_padding(key: RsaKey) -> None:
    _exchange(key, lambda offer, n: raw.types.PQInnerData(**_inner(offer, n)).write(), _pad_old)


def test_rsa_pad_with_a_data_centre_number(key: RsaKey) -> None:
    _exchange(key, lambda offer, n: raw.types.PQInnerDataDc(**_inner(offer, n, dc=2)).write(), _pad_new)


def test_data_for_another_key_is_refused(key: RsaKey) -> None:
    other = make_key()
    with pytest.raises(HandshakeError, match="wrong RSA key"):
        _exchange(
            key,
            lambda offer, n: raw.types.PQInnerData(**_inner(offer, n)).write(),
            lambda data, _: _pad_old(data, other),
        )


def test_steps_out_of_turn_are_refused(key: RsaKey) -> None:
    exchange = Handshake(key)
    with pytest.raises(HandshakeError):
        _step(exchange, raw.functions.SetClientDHParams(nonce=1, server_nonce=2, encrypted_data=bytes(16)))
    with pytest.raises(HandshakeError):
        _step(
            exchange,
            raw.functions.ReqDHParams(
                nonce=1, server_nonce=2, p=b"", q=b"", public_key_fingerprint=0, encrypted_data=bytes(256)
            ),
        )
    with pytest.raises(HandshakeError):
        exchange.step(bytes(20) + b"nonsense", now=0.0)


def test_a_kept_key_is_the_same_key(key: RsaKey) -> None:
    again = load_key(key.private_pem)
    assert again == key
    assert again.fingerprint == key.fingerprint
