"""Which names our HTTP servers answer to, so that no web page reads them by a name that it lets point here."""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def answers_to(header: str | None, bound: str) -> bool:
    """Whether a server that listens on `bound` answers a request with this `Host` header (None: it has none).

    It does by its address, by a name without a dot, as `localhost` or a container's, by the machine's own name, and by
    the name that it was told to listen on. A name that somebody else can register is none of these: a page of that name
    could otherwise read the answers from a browser on this machine (DNS rebinding).
    """
    if header is None:  # no browser
        return True
    try:
        name = (urlsplit(f"//{header}").hostname or "").rstrip(".").lower()
    except ValueError:
        return False
    if not name or "@" in header or "/" in header:
        return False
    try:
        ip_address(name)
    except ValueError:
        own = {bound.lower(), socket.gethostname().lower(), socket.getfqdn().lower()} if "." in name else {name}
        return name in own or name.endswith(".localhost")
    return True
