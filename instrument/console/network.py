"""What lets other computers in, and only those who were given the link: a token, and a certificate made here.

Both are kept in the user's settings, readable by nobody else, so that a link and what a browser was told to trust
stay good when the console is started again.
"""

import datetime
import io
import ipaddress
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import psutil

if TYPE_CHECKING:
    from cryptography import x509

TOKEN_BYTES = 18
VALID = datetime.timedelta(days=397)
"""What browsers take of any certificate."""
RENEWED = datetime.timedelta(days=30)
"""So long before its end a certificate is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Two PEM files, and what browsers show of the certificate."""

    file: Path
    key_file: Path
    fingerprint: str
    """SHA-256, as AB:CD:..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where and with what others come in."""

    host: str
    port: int
    token: str
    certificate: Certificate

    def link(self, path: str = "/") -> str:
        """What to open on another computer: whoever has it may come in."""
        return f"https://{in_brackets(self.host)}:{self.port}{path}?token={self.token}"


def settings_folder() -> Path:
    """The user's settings."""
    return Path(platformdirs.user_config_dir("instrument", appauthor=False))


def kept_token(folder: Path) -> str:
    """The token kept in that folder; a new one where there is none, or where others could have read it.

    Raises OSError.
    """
    file = folder / "console-token"
    if is_private(file):
        token = file.read_text(encoding="ascii", errors="replace").strip()
        if len(token) == len(secrets.token_urlsafe(TOKEN_BYTES)) and token.isprintable() and token.isascii():
            return token
    token = secrets.token_urlsafe(TOKEN_BYTES)
    write_private(file, token.encode())
    return token


def kept_certificate(folder: Path) -> Certificate:
    """The certificate kept in that folder; a new one where there is none, or it ends soon.

    Raises OSError, or ImportError without the package `cryptography`.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    file, key_file = folder / "console-certificate.pem", folder / "console-key.pem"
    now = datetime.datetime.now(datetime.UTC)
    try:
        if not is_private(key_file):
            raise ValueError("the key is not there, or others could have read it")
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if key.public_key() != certificate.public_key() or certificate.not_valid_after_utc < now + RENEWED:
            raise ValueError("another one is due")
    except (OSError, ValueError, TypeError):
        certificate, key_pem = _made_certificate(now)
        write_private(key_file, key_pem)
        write_private(file, certificate.public_bytes(serialization.Encoding.PEM))
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    return Certificate(file=file, key_file=key_file, fingerprint=fingerprint)


def _made_certificate(now: datetime.datetime) -> "tuple[x509.Certificate, bytes]":
    """A certificate for every name and address of this computer, signed by itself, and its key as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"instrument on {socket.gethostname()}"[:64])])
    named = [x509.DNSName(one) for one in sorted(own_names())]
    numbered = [x509.IPAddress(one) for one in sorted(own_addresses(), key=str)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName([*named, *numbered]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return certificate, pem


def own_names() -> frozenset[str]:
    """The names other computers in the network may know this one by."""
    name = "".join(one for one in socket.gethostname().lower() if one.isascii() and (one.isalnum() or one in "-."))
    short = name.partition(".")[0]
    return frozenset({"localhost"} | ({name, short, f"{short}.local"} if short else set()))


def own_addresses() -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of this computer."""
    families = (socket.AF_INET, socket.AF_INET6)
    there = [one.address for each in psutil.net_if_addrs().values() for one in each if one.family in families]
    return list({ipaddress.ip_address(one.partition("%")[0]) for one in there})


def reached_address() -> str:
    """The address other computers in the network reach this one by, as far as can be known."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
            return str(probe.getsockname()[0])
        except OSError:
            others = [one for one in own_addresses() if not one.is_loopback and one.version == 4]
            return str(others[0]) if others else "127.0.0.1"


def in_brackets(host: str) -> str:
    """The host as a link writes it."""
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    return host in ("127.0.0.1", "localhost", "::1")


def is_private(file: Path) -> bool:
    """Whether the file is there and its owner alone may read it; on Windows the user's folder sees to that."""
    try:
        return os.name == "nt" or not file.lstat().st_mode & 0o77
    except OSError:
        return False


def write_private(file: Path, content: bytes) -> None:
    """Writes a file that nobody else may read, at no moment.

    Raises OSError.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
    draft.replace(file)


def qr_code(text: str) -> bytes:
    """The text as a QR code: an SVG picture with a white ground."""
    import segno

    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(picture, kind="svg", scale=8, border=4, light="white")
    return picture.getvalue()
