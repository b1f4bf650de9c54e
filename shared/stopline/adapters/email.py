"""E-mail by SMTP."""

import contextlib
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Literal

from stopline.adapters.deadline import READ_S
from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.ports import ChannelBusy, ChannelRefused, Receipt
from stopline.rules.alerting.around import ALONE, Around
from stopline.rules.alerting.texts import email_parts

Tls = Literal["starttls", "implicit", "none"]


class EmailChannel:
    """Sends alerts as mail with a plain and an HTML part.

    `sender` is `desk@example.com` or `Stopline <desk@example.com>`. `tls`: `starttls` is demanded, so
    that nobody on the way can take the offer away; `implicit` is for port 465, `none` for a relay on the same machine.
    Certificates are checked, and a password never travels in clear text.
    """

    name = "email"

    def __init__(
        self,
        host: str,
        sender: str,
        *,
        port: int = 587,
        username: str = "",
        password: str = "",
        tls: Tls = "starttls",
        timeout_s: float = READ_S,
        context: ssl.SSLContext | None = None,
    ) -> None:
        title, address = parseaddr(sender)
        self._sender = Address(title or "Stopline", addr_spec=address)
        self._host = host
        self._port = port
        self._username = username
        self._password = password
        self._tls = tls
        self._timeout_s = timeout_s
        self._context = context or ssl.create_default_context()

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        """Send one mail. Raises ChannelRefused where the server says no for good, else ChannelBusy.

        The Message-ID follows from the alert, so a mail that comes twice is recognised as one.
        """
        mail = alert_mail(alert, zone, self._sender, address, around)
        try:
            server = self._connected()
        except (OSError, smtplib.SMTPException) as problem:
            raise _judged(problem, "") from None
        try:
            server.send_message(mail, str(self._sender.addr_spec), [address])
        except (OSError, smtplib.SMTPException) as problem:
            server.close()
            raise _judged(problem, ": it may have been sent") from None
        with contextlib.suppress(OSError):  # the server has the mail: how the connection ends does not matter
            server.quit()
        server.close()
        return Receipt(mail["Message-ID"], "accepted")

    def _connected(self) -> smtplib.SMTP:
        """Open a connection that may carry the mail: encrypted as set, logged in where there is a user."""
        domain, wait = self._sender.domain, self._timeout_s
        server: smtplib.SMTP
        if self._tls == "implicit":
            server = smtplib.SMTP_SSL(self._host, self._port, domain, timeout=wait, context=self._context)
        else:
            server = smtplib.SMTP(self._host, self._port, domain, timeout=wait)
        try:
            server.ehlo_or_helo_if_needed()
            if self._tls == "starttls":
                if not server.has_extn("starttls"):
                    raise ChannelRefused(f"{self._host} offers no STARTTLS: no mail is sent in clear text")
                server.starttls(context=self._context)
                server.ehlo()
            if self._username:
                if not isinstance(server.sock, ssl.SSLSocket):
                    raise ChannelRefused(f"{self._host} does not encrypt: no password is sent to it")
                server.login(self._username, self._password)
        except BaseException:
            server.close()
            raise
        return server


def alert_mail(alert: Alert, zone: str, sender: Address, to: str, around: Around = ALONE) -> EmailMessage:
    """Return the mail of an alert. Mails of one rule and object refer to the same thread."""
    thread = digest("thread", alert.account or "", alert.kind, alert.object)
    subject, text, html = email_parts(alert, zone, around)
    mail = EmailMessage()
    mail["Subject"] = subject
    mail["From"] = sender
    mail["To"] = Address(addr_spec=to)
    mail["Date"] = formatdate(usegmt=True)
    mail["Message-ID"] = f"<{digest('mail', alert.alert_id)}@{sender.domain}>"
    mail["References"] = f"<{thread}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Stopline-Alert"] = alert.alert_id
    if alert.severity is Severity.CRITICAL and not alert.resolved:
        mail["Importance"] = "high"
        mail["X-Priority"] = "1"
    mail.set_content(text)
    mail.add_alternative(html, subtype="html")
    return mail


def _judged(problem: Exception, doubt: str) -> ChannelRefused | ChannelBusy:
    """Turn an SMTP error into ours: 5xx is for good, 4xx and everything about the connection is not."""
    code = 0
    if isinstance(problem, smtplib.SMTPRecipientsRefused):
        code = next(iter(problem.recipients.values()))[0]
    elif isinstance(problem, smtplib.SMTPResponseException):
        code = int(problem.smtp_code)
    elif isinstance(problem, smtplib.SMTPNotSupportedError):
        return ChannelRefused("the mail server offers no log-in, and the settings have a user")
    elif isinstance(problem, ssl.SSLCertVerificationError):
        return ChannelRefused("the mail server's certificate is not valid")
    if 500 <= code < 600:
        return ChannelRefused(f"the mail server refused for good ({code})")
    if code:
        return ChannelBusy(f"the mail server refused for now ({code})")
    return ChannelBusy(f"the mail server did not answer ({type(problem).__name__}){doubt}")
