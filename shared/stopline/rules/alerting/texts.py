"""What a person reads: an alert as SMS, call, e-mail, Discord and Telegram message, understood at a glance on a phone.

Every text says in this order: how bad and whose, what happened, how much against which limit, what Stopline
did, what to do, when (in the account's time zone), and the short id to ask about it.
"""

from html import escape

from stopline.model.messages import Alert
from stopline.rules.alerting.around import ALONE, Around
from stopline.rules.alerting.mail_chart import chart_of
from stopline.rules.alerting.mail_html import mail_html
from stopline.rules.alerting.text_parts import (
    CLAUSE,
    ONE_SMS,
    SHORT,
    TWO_SMS,
    clock_text,
    colour_of,
    cut,
    fact_rows,
    gsm,
    headline,
    mark_of,
    markdown,
    news_of,
    one_line,
    owner_of,
    part_of_limit,
    sentence,
    septets,
    short_id,
    statement,
    status_word,
    utf16,
)

LEAST = 60  # septets of an SMS that are for what happened, whatever else is in it
TELEGRAM = 4096  # UTF-16 units of a message
TAKE = "Acknowledge"
DIGESTS = frozenset({"digest", "caught_up"})  # kinds of which the lines are all that is told


def noted(alert: Alert, *notes: str) -> Alert:
    """Return the alert with the reason why this reader gets it, where it is not as routed."""
    told = "; ".join(note for note in notes if note)
    return alert.model_copy(update={"summary": f"{alert.summary} ({told})"}) if told else alert


def sms_text(alert: Alert, zone: str, around: Around = ALONE) -> str:
    """Return an alert as one SMS where it fits, as two at most. Words are cut, numbers and links never.

    CRITICAL demo: Daily loss limit. 3,240.50 USD, limit 3,000 USD. New orders refused. 10:02 EST #1f2e3d4c
    """
    head = gsm(f"{status_word(alert)} {owner_of(alert)}: ")
    body = gsm(sentence(statement(alert)))
    figure = gsm(f" {sentence(news)}") if (news := news_of(alert)) else ""
    worst = _others(alert, around) or alert.action  # a digest's action is for a desk
    action = gsm(f" {sentence(worst)}") if one_line(worst) else ""
    clause = gsm(f" {sentence(CLAUSE.split(one_line(worst), maxsplit=1)[0])}") if action else ""
    if around.lines and not _merged(alert, around):
        clause = ""  # its summary counts them
    id_ = f" #{short_id(alert)}"
    link = f" Got it: {around.ack_url}" if around.ack_url else ""
    if septets(head + id_ + link) <= TWO_SMS - LEAST:
        id_ += link
    clock = gsm(f" {clock_text(alert.raised_at, zone)}")
    for shorter in (action + clock, action, clause + clock, clause):
        text = head + body + figure + shorter + id_
        if septets(text) <= ONE_SMS:
            return text
    if septets(head + figure + clock + id_) > TWO_SMS - LEAST:
        clock = ""
    if septets(head + figure + id_) > TWO_SMS - LEAST:
        figure = ""
    fixed = TWO_SMS - septets(head + figure + clock + id_)
    action = cut(action, max(fixed // 2, fixed - septets(body)), septets)
    return head + cut(body, fixed - septets(action), septets) + figure + action + clock + id_


def _merged(alert: Alert, around: Around) -> int:
    """Return how many others come with an alert that is told by itself too, as in an escalation; 0 for a digest."""
    return 0 if alert.kind in DIGESTS else max(around.count - 1, 0)


def _others(alert: Alert, around: Around) -> str:
    """Return what an SMS says of the lines: of a digest the first, beside an alert of its own how many and the next."""
    if not around.lines:
        return ""
    others = _merged(alert, around)
    return (
        f"And {others} more: {around.lines[1]}"
        if others and around.lines[1:]
        else f"First: {around.lines[0]}"
    )


def call_twiml(alert: Alert, zone: str, around: Around = ALONE) -> str:
    """Return what a called person hears, twice, as TwiML; of a digest the worst three."""
    spoken = f"Stopline. {status_word(alert).capitalize()} alert for {owner_of(alert)}. {sentence(statement(alert))}"
    if news := news_of(alert):
        spoken += f" {sentence(news)}"
    told = _merged(alert, around)
    if told:
        spoken += f" And {told} more."
    for line in around.lines[1:3] if told else around.lines[:3]:
        spoken += f" {sentence(line)}"
    if one_line(alert.action) and not around.lines:
        spoken += f" {sentence(alert.action)}"
    say = f"<Say>{escape(cut(one_line(spoken), 800), quote=False)}</Say>"
    return f'<Response>{say}<Pause length="1"/>{say}</Response>'


def email_parts(alert: Alert, zone: str, around: Around = ALONE) -> tuple[str, str, str]:
    """Return subject, plain text and HTML of an alert's mail. The HTML loads nothing and fits a phone."""
    subject = cut(f"[{status_word(alert)}] {owner_of(alert)}: {headline(alert)}", 120)
    facts = fact_rows(alert, zone)
    colour = f"#{colour_of(alert):06x}"
    html = mail_html(
        banner=f"{status_word(alert)} · {owner_of(alert)}",
        title=headline(alert),
        colour=colour,
        share=part_of_limit(alert),
        rows=[row for row in facts if row[0] != "Account"],  # the banner has it
        lines=[one_line(text) for text in _listed(around)],
        ack_url=around.ack_url,
        chart=chart_of(alert, zone),
    )
    return subject, _plain(alert, facts, around), html


def plain_text(alert: Alert, zone: str, around: Around = ALONE) -> str:
    """Return an alert as text for any other service."""
    return _plain(alert, fact_rows(alert, zone), around)


def _plain(alert: Alert, facts: list[tuple[str, str]], around: Around) -> str:
    width = max(len(name) for name, _ in facts) + 2
    lines = [f"{status_word(alert)}: {headline(alert)}", ""]
    lines += [f"{name + ':':<{width}}{value}" for name, value in facts]
    if around.lines:
        lines += ["", *(f"- {one_line(text)}" for text in _listed(around))]
    if around.ack_url:
        lines += ["", f"{TAKE}: {around.ack_url}"]
    return "\n".join([*lines, ""])


def discord_payload(alert: Alert, zone: str, around: Around = ALONE) -> dict[str, object]:
    """Return the body of a webhook call: a line for the notification, one embed, and nobody is mentioned."""
    mark = mark_of(alert)
    line = (
        f"{mark} **{status_word(alert)}** {markdown(owner_of(alert), 200)}: {markdown(headline(alert), 1000)}"
    )
    if news := news_of(alert):
        line += f" ({markdown(news[0].lower() + news[1:], 400)})"
    fields: list[dict[str, object]] = []
    if around.lines:
        each = [f"• {markdown(text, 150)}" for text in around.lines]
        fields.append({"name": "Alerts", "value": _fitting(each, 1000, around.unnamed), "inline": False})
    fields += [
        {"name": name, "value": _with_bar(name, markdown(value, 900), alert), "inline": name in SHORT}
        for name, value in fact_rows(alert, zone)
        if name not in ("Account", "Alert")
    ]
    if around.ack_url:
        fields.append({"name": TAKE, "value": f"[I have it]({around.ack_url})", "inline": False})
    embed: dict[str, object] = {
        "color": colour_of(alert),
        "fields": fields,
        "footer": {"text": f"Stopline  #{short_id(alert)}"},
    }
    return {"content": line, "embeds": [embed], "allowed_mentions": {"parse": []}}


def telegram_payload(alert: Alert, zone: str, chat: str, around: Around = ALONE) -> dict[str, object]:
    """Return the body of a `sendMessage`: HTML of which nothing comes from outside, no preview of links."""
    mark = mark_of(alert)
    head = f"{mark} <b>{status_word(alert)}</b> {_telegram(owner_of(alert), 100)}: {_telegram(headline(alert), 600)}"
    lines = [head, ""]
    if around.lines:
        each = [f"• {_telegram(text, 150)}" for text in around.lines]
        lines += [_fitting(each, 1000, around.unnamed), ""]
    lines += [
        f"<b>{name}</b> {_with_bar(name, _telegram(value, 400), alert)}"
        for name, value in fact_rows(alert, zone)
        if name not in ("Account", "Alert")
    ]
    if around.ack_url:
        lines += ["", f'<a href="{escape(around.ack_url)}">{TAKE}</a>']
    return {
        "chat_id": chat,
        "text": "\n".join([*lines, f"#{short_id(alert)}"]),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
        "disable_notification": alert.resolved,
    }


def _telegram(text: str, most: int) -> str:
    """Write text as Telegram's HTML; `@` addresses nobody and no word becomes a command or link."""
    shown = cut(one_line(text), most, utf16)
    return escape(shown, quote=False).replace("@", "@\u200b")


def _with_bar(name: str, value: str, alert: Alert) -> str:
    """Add a bar of ten to the number: how much of the limit it is."""
    share = part_of_limit(alert)
    if name != "Now" or share is None:
        return value
    full = min(10, int(share * 10))
    return f"{value}\n{'▰' * full}{'▱' * (10 - full)}"


def _listed(around: Around) -> list[str]:
    """Return the lines, with one that counts the alerts that have none."""
    return [*around.lines, *([f"and {around.unnamed} more"] if around.unnamed else [])]


def _fitting(lines: list[str], most: int, unnamed: int) -> str:
    """Join lines that fit; say how many do not, with those that have no line."""
    for count in range(len(lines), 0, -1):
        left = len(lines) - count + unnamed
        text = "\n".join([*lines[:count], *([f"and {left} more"] if left else [])])
        if utf16(text) <= most:
            return text
    return f"{len(lines) + unnamed} alerts"
