"""A mail server that takes everything and delivers nothing."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from emulators.fakes.faults import Fault, Recorder
from emulators.processes import HOST, free_port

_TAKEN = "250 2.0.0 Ok: queued"
_ANSWERS = {
    404: "550 5.1.1 Mailbox unavailable",
    429: "450 4.7.1 Too many messages, slow down",
}
_TEMPORARY = "451 4.3.0 Try again later"


@dataclass(frozen=True)
class Mail:
    """A mail as it arrived; `message` is empty where the recipient was refused before it was sent."""

    at: datetime
    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    encrypted: bool
    user: str | None
    accepted: bool


class SmtpFake(Recorder[Mail]):
    """A mail server on a free port; with `starttls` it offers encryption, with `user` it asks for a login."""

    def __init__(self, *, starttls: bool = False, user: str | None = None, password: str = "") -> None:
        """Start it. A login without encryption is refused where encryption is offered."""
        super().__init__()
        self.host = HOST
        self.port = free_port()
        self.user = user
        self.password = password
        self.certificate: Path | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="stopline-smtp-")
        context = self._context() if starttls else None
        self._controller = Controller(
            _Handler(self),
            hostname=HOST,
            port=self.port,
            tls_context=context,
            require_starttls=starttls,
            authenticator=self._login if user else None,
            auth_required=user is not None,
            auth_require_tls=starttls,
        )
        self._controller.start()

    def close(self) -> None:
        """Stop, at once even where a client hangs."""
        super().close()
        self._controller.stop()
        self._folder.cleanup()

    def _login(
        self, server: SMTP, session: Session, envelope: Envelope, method: str, data: Any
    ) -> AuthResult:
        given = data if isinstance(data, LoginPassword) else None
        expected = ((self.user or "").encode(), self.password.encode())
        if given is None or (given.login, given.password) != expected:
            return AuthResult(success=False, handled=False)
        return AuthResult(success=True, auth_data=self.user)

    def _context(self) -> ssl.SSLContext:
        certificate, key = self_signed()
        self.certificate = Path(self._folder.name) / "certificate.pem"
        self.certificate.write_bytes(certificate)
        both = Path(self._folder.name) / "both.pem"
        both.write_bytes(key + certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        return context


class _Handler:
    def __init__(self, fake: SmtpFake) -> None:
        self._fake = fake
        self._faults: WeakKeyDictionary[Envelope, Fault | None] = WeakKeyDictionary()

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        self._faults[envelope] = self._fake._take_fault()
        return "250 2.1.0 Ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fault = self._faults.get(envelope)
        envelope.rcpt_tos.append(address)
        if fault is not None and fault.status == 404:
            self._record(session, envelope, accepted=False)
            envelope.rcpt_tos.remove(address)
            return _ANSWERS[404]
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        fault = self._faults.get(envelope)
        accepted = fault is None or fault.accepted
        self._record(session, envelope, accepted=accepted)
        if fault is None:
            return _TAKEN
        waited = 0.0
        while waited < fault.hang_seconds and not self._fake.closing.is_set():
            await asyncio.sleep(0.02)
            waited += 0.02
        while fault.drip_seconds and not self._fake.closing.is_set():
            assert isinstance(server.transport, asyncio.WriteTransport)
            if server.transport.is_closing():
                break
            server.transport.write(b"250-\r\n")  # another line of an answer that does not end
            await asyncio.sleep(fault.drip_seconds)
        if fault.cut or (fault.hang_seconds and not accepted):
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return _TAKEN if fault.status == 200 else _ANSWERS.get(fault.status, _TEMPORARY)

    def _record(self, session: Session, envelope: Envelope, *, accepted: bool) -> None:
        content = envelope.original_content or b""
        self._fake._record(
            Mail(
                at=datetime.now(UTC),
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                message=email.message_from_bytes(content, policy=email.policy.default),
                encrypted=session.ssl is not None,
                user=self._fake.user if session.authenticated else None,
                accepted=accepted,
            )
        )


def self_signed() -> tuple[bytes, bytes]:
    """Return a certificate for this machine's own names, and its key, both as PEM."""
    # Only encrypted mail needs it, and its import is not small.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
