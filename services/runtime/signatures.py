"""Statements signed with a process's own TLS key, to be carried by others and checked by a third.

The signer's certificate goes along; whoever checks trusts the same CAs as for its connections. A statement is
worth as much as its signer's identity says. Knows nothing of what is stated.
"""

from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from services.runtime.errors import PermissionDenied, SettingsError
from services.runtime.tls import Identity, Material, check_issuer, check_time, identity_of

_HASH = hashes.SHA256()
_PSS = padding.PSS(padding.MGF1(_HASH), padding.PSS.DIGEST_LENGTH)
_KeyPair = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def sign(material: Material, statement: bytes) -> bytes:
    """About 30 us with an elliptic curve key. Raises SettingsError for a kind of key that cannot sign."""
    key = _load_key(material.key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(statement, ec.ECDSA(_HASH))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(statement, _PSS, _HASH)
    return key.sign(statement)


def verify(roots: bytes, chain: bytes, statement: bytes, signature: bytes, now: datetime) -> Identity:
    """Who signed it, about 80 us. Raises PermissionDenied (BAD_SIGNATURE) unless it was somebody with a valid
    certificate of these CAs."""
    try:
        leaf = _trusted_leaf(roots, chain)
        check_time(leaf, now, "signature")
        _check(leaf, statement, signature)
    except (SettingsError, ValueError, InvalidSignature) as error:
        raise PermissionDenied("A signature is of nobody trusted here.", reason="BAD_SIGNATURE") from error
    identity = identity_of(leaf)
    if identity is None:
        raise PermissionDenied("A signature names nobody.", reason="BAD_SIGNATURE")
    return identity


def _check(leaf: x509.Certificate, statement: bytes, signature: bytes) -> None:
    key = leaf.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, statement, ec.ECDSA(_HASH))
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, statement, _PSS, _HASH)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, statement)
    else:
        raise InvalidSignature


@lru_cache(maxsize=16)  # a few schedulers, before and after a rotation
def _trusted_leaf(roots: bytes, chain: bytes) -> x509.Certificate:
    certificates = x509.load_pem_x509_certificates(chain)
    check_issuer(certificates, x509.load_pem_x509_certificates(roots), "signature")
    return certificates[0]


@lru_cache(maxsize=2)
def _load_key(pem: bytes) -> _KeyPair:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, _KeyPair):
        raise SettingsError(
            "The key in TGFLEET_TLS_KEY_FILE cannot sign; use an elliptic curve, Ed25519 or RSA key",
            reason="BAD_CERTIFICATE",
        )
    return key
