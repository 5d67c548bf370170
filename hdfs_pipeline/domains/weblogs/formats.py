"""Layouts of access lines, those that are known and one of one's own, compiled into the tree of steps of `scan`.

A layout is written as nginx writes its `log_format` (`$status`) or as Apache writes its `LogFormat` (`%>s`): the known
ones too. What there is of either is in ngx_http_log_module, ngx_http_core_module, ngx_http_upstream_module and
mod_log_config; the layouts of load balancers are those of the documentation of AWS, Traefik and ingress-nginx, and that
of Hadoop's request logs is Jetty's (CustomRequestLog, NCSARequestLog; before each line stands log4j's head, where no
appender of its own takes them).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np

from hdfs_pipeline.domains.weblogs import scan
from hdfs_pipeline.errors import SetupError

Step = tuple[int, int, int | str, int, int]
"""What, field, and three arguments, the first of which may be a literal's text."""
_US: Final = {"us": 1, "ms": 1000, "s": 1_000_000}
_ANY, _FRACTION, _WHOLE, _LIST, _SUM = range(5)  # forms of a duration


class Variable(NamedTuple):
    """What a variable of a pattern stands for: a step, its field, its unit in microseconds and its form."""

    step: int
    field: int = scan.NO_FIELD
    unit: int = 0
    form: int = 0
    words: bool = False  # whether it may hold blanks without quotes around it


_SKIP: Final = Variable(scan.TOKEN)
_NGINX: Final[Mapping[str, Variable]] = {
    **dict.fromkeys(("remote_addr", "realip_remote_addr"), Variable(scan.TOKEN, scan.CLIENT)),
    "remote_user": Variable(scan.TOKEN, scan.ACCOUNT),
    "time_local": Variable(scan.STAMP, scan.TIME),
    "time_iso8601": Variable(scan.STAMP, scan.TIME),
    "msec": Variable(scan.EPOCH, scan.TIME, _US["s"]),
    "request": Variable(scan.TOKEN, scan.REQUEST, words=True),
    "request_method": Variable(scan.TOKEN, scan.METHOD),
    "request_uri": Variable(scan.TOKEN, scan.ADDRESS_OF),
    **dict.fromkeys(("uri", "document_uri"), Variable(scan.TOKEN, scan.PATH)),
    **dict.fromkeys(("args", "query_string"), Variable(scan.TOKEN, scan.QUERY)),
    "server_protocol": Variable(scan.TOKEN, scan.PROTOCOL),
    "status": Variable(scan.STATUS_CODE, scan.STATUS),
    **dict.fromkeys(("body_bytes_sent", "bytes_sent"), Variable(scan.NUMBER, scan.BYTES)),
    "request_length": Variable(scan.NUMBER, scan.REQUEST_BYTES),
    "request_time": Variable(scan.DURATION, scan.RESPONSE, _US["s"]),
    "upstream_response_time": Variable(scan.DURATION, scan.UPSTREAM, _US["s"], _LIST),
    "http_referer": Variable(scan.TOKEN, scan.REFERER),
    "http_user_agent": Variable(scan.TOKEN, scan.AGENT, words=True),
    **dict.fromkeys(("host", "http_host", "server_name", "vhost"), Variable(scan.TOKEN, scan.SERVICE)),
    # what only the known layouts below ask for
    "_address": Variable(scan.ADDRESS, scan.CLIENT),
    "_words": Variable(scan.TOKEN, scan.ACCOUNT, words=True),
    "_logger": Variable(scan.LOGGER, scan.SERVICE),
    "_fraction": Variable(scan.DURATION, scan.RESPONSE, _US["s"], _FRACTION),
    "_micros": Variable(scan.DURATION, scan.RESPONSE, _US["us"], _WHOLE),
    "_millis": Variable(scan.DURATION, scan.RESPONSE, _US["ms"], _WHOLE),
    "_sum": Variable(scan.DURATION, scan.RESPONSE, _US["s"], _SUM),
    "_first": Variable(scan.DURATION, scan.RESPONSE, _US["s"]),  # of AWS: before the target, at it, after it
    "_more": Variable(scan.MORE),
}
_APACHE: Final[Mapping[str, Variable]] = {
    **dict.fromkeys("ha", Variable(scan.TOKEN, scan.CLIENT)),
    "u": Variable(scan.TOKEN, scan.ACCOUNT),
    "t": Variable(scan.STAMP, scan.TIME),
    "r": Variable(scan.TOKEN, scan.REQUEST, words=True),
    "s": Variable(scan.STATUS_CODE, scan.STATUS),
    **dict.fromkeys("bBO", Variable(scan.NUMBER, scan.BYTES)),
    "I": Variable(scan.NUMBER, scan.REQUEST_BYTES),
    "D": Variable(scan.DURATION, scan.RESPONSE, _US["us"]),
    "T": Variable(scan.DURATION, scan.RESPONSE, _US["s"]),
    **dict.fromkeys("vV", Variable(scan.TOKEN, scan.SERVICE)),
    "m": Variable(scan.TOKEN, scan.METHOD),
    "U": Variable(scan.TOKEN, scan.PATH),
    "q": Variable(scan.TOKEN, scan.QUERY),
    "H": Variable(scan.TOKEN, scan.PROTOCOL),
    **dict.fromkeys("ACeEfiklLnopPRSX", _SKIP),
}
_HEADERS: Final = {
    "referer": Variable(scan.TOKEN, scan.REFERER),
    "user-agent": Variable(scan.TOKEN, scan.AGENT, words=True),
    "host": Variable(scan.TOKEN, scan.SERVICE),
}
_EPOCHS: Final = {"sec": _US["s"], "msec": _US["ms"], "usec": _US["us"]}
_DATES: Final = ("%d/%b/%Y:%H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
_IN_NGINX: Final = re.compile(r"\$\{(?P<braced>\w+)\}|\$(?P<plain>\w+)|(?P<text>[^$]+|\$)")
_IN_APACHE: Final = re.compile(
    r"%(?:%|[<>!,\d]*(?:\{(?P<braces>[^}]*)\})?(?P<name>\^?[A-Za-z]{1,2}?)(?![<>]))|(?P<text>[^%]+|%)"
)
_ACCURATE: Final = {_US["us"]: 0, _US["ms"]: 1, _US["s"]: 2}


class AccessLayout(NamedTuple):
    """A known layout: its name, its pattern, a line in it, and whether its requests name whole addresses.

    Of a pattern with `by_path`, the unit of the response time depends on the path (see `records`).
    """

    name: str
    pattern: str
    example: str
    whole_url: bool = False
    by_path: bool = False


_START: Final = '10.0.0.7 - - [30/Nov/2026:10:15:00 +0000] "GET /a?b=1 HTTP/1.1" 200 512'
_BOTH: Final = f'{_START} "https://a.example/" "curl/8.5"'
_COMMON: Final = '$remote_addr $ident $remote_user [$time_local] "$request" $status $body_bytes_sent'
_COMBINED: Final = f'{_COMMON} "$http_referer" "$http_user_agent"'
_TAILS: Final = (
    ("Combined", _COMBINED, _BOTH, False),
    ("Combined, seconds", f"{_COMBINED} $_fraction", f"{_BOTH} 0.042", False),
    (
        "Combined, seconds and those behind",
        f"{_COMBINED} $_fraction $upstream_response_time",
        f"{_BOTH} 0.042 0.001, 0.040",
        False,
    ),
    ("Combined, whole number", f"{_COMBINED} $_micros", f"{_BOTH} 42000", True),
    ("Combined, %T/%D", f"{_COMBINED} $seconds/$_micros", f"{_BOTH} 0/42000", False),
    ("Combined, forwarded for", f'{_COMBINED} "$forwarded"', f'{_BOTH} "192.0.2.1"', False),
    (
        "Combined, forwarded for, seconds",
        f'{_COMBINED} "$forwarded" $_fraction',
        f'{_BOTH} "192.0.2.1" 0.042',
        False,
    ),
    (
        "Combined, forwarded for, seconds and those behind",
        f'{_COMBINED} "$forwarded" $_fraction $upstream_response_time',
        f'{_BOTH} "-" 0.042 0.041',
        False,
    ),
    (
        "Combined, forwarded for, rt=",
        f'{_COMBINED} "$forwarded" rt=$request_time $_more',
        f'{_BOTH} "-" rt=0.042 uct="0.000" uht="0.041" urt="0.041"',
        False,
    ),
    ("Combined, rt=", f"{_COMBINED} rt=$request_time $_more", f'{_BOTH} rt=0.042 uct="0.0" urt="0.0"', False),
    (
        "Traefik",
        f'{_COMBINED} $number "$router" "$server" ${{_millis}}ms',
        f'{_BOTH} 17 "web@docker" "http://10.0.0.9:80" 42ms',
        False,
    ),
    (
        "ingress-nginx",
        f"{_COMBINED} $request_length $request_time [$proxy] [$other] $upstream_addr $upstream_response_length"
        " $upstream_response_time $upstream_status $req_id",
        f"{_BOTH} 345 0.042 [default-web-80] [] 10.1.0.4:80 512 0.040 200 4f2c",
        False,
    ),
    ("Combined, bytes in and out", f"{_COMBINED} $request_length $out", f"{_BOTH} 345 870", False),
    ("Combined and more", f"{_COMBINED} $_more", f'{_BOTH} "session=1" worker-3', False),
    ("Common", _COMMON, _START, False),
    ("Common, seconds", f"{_COMMON} $_fraction", f"{_START} 0.042", False),
    ("Common, whole number", f"{_COMMON} $_micros", f"{_START} 42000", True),
)


def _known() -> tuple[AccessLayout, ...]:
    """The known layouts, in the order in which they are tried."""
    layouts = [AccessLayout(name, pattern, line, by_path=by) for name, pattern, line, by in _TAILS]
    client = "$remote_addr $ident $remote_user"
    for name, pattern, line, by in _TAILS:
        hosted = pattern.replace(client, "$vhost $_address $ident $remote_user")
        layouts.append(AccessLayout(f"host first, {name}", hosted, f"www.example.com:8080 {line}", by_path=by))
    head = "2026-11-30 10:15:00,123 INFO http.requests.namenode: "
    for name, pattern, line in (("Combined", _COMBINED, _BOTH), ("Common", _COMMON, _START)):
        layouts.append(AccessLayout(f"Hadoop, {name}", f"$_logger{pattern}", head + line))
        layouts.append(AccessLayout(f"Hadoop, {name}, ms", f"$_logger{pattern} $_millis", f"{head}{line} 42"))
    for name, pattern, line, by in _TAILS:
        spaced = pattern.replace(client, "$_address $ident $_words")
        example = line.replace("- - [", "- Jo Doe [")
        layouts.append(AccessLayout(f"account of words, {name}", spaced, example, by_path=by))
    return (*layouts, *_OF_AWS)


_OF_AWS: Final = (
    AccessLayout(
        "AWS ALB",
        "$type $time_iso8601 $elb $remote_addr:$port $target $_first $_sum $_sum $status $target_status $request_length"
        ' $body_bytes_sent "$request" "$http_user_agent" $cipher $tls $group "$trace" "$vhost" $_more',
        "http 2026-11-30T10:15:00.186641Z app/my-lb/50dc6c495c0c 10.0.0.7:2817 10.0.1.1:80 0.000 0.041 0.001 200 200"
        ' 34 366 "GET http://www.example.com:80/a?b=1 HTTP/1.1" "curl/7.46.0" - -'
        " arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067"
        ' "Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 0 2026-11-30T10:15:00.186000Z "forward" "-" "-"'
        ' "10.0.1.1:80" "200" "-" "-"',
        whole_url=True,
    ),
    AccessLayout(
        "AWS ELB",
        "$time_iso8601 $elb $remote_addr:$port $target $_first $_sum $_sum $status $target_status $request_length"
        ' $body_bytes_sent "$request" "$http_user_agent" $cipher $tls',
        "2026-11-30T10:15:00.945958Z my-lb 10.0.0.7:2817 10.0.1.1:80 0.000073 0.001048 0.000057 200 200 0 29"
        ' "GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -',
        whole_url=True,
    ),
)
MEANINGS: Final = {
    scan.TIME: "time",
    scan.STATUS: "status",
    scan.BYTES: "size of the answer",
    scan.REQUEST: "request in quotes",
    scan.RESPONSE: "response time",
    scan.AGENT: "user agent in quotes",
    scan.REFERER: "referrer in quotes",
    scan.CLIENT: "client",
    scan.ACCOUNT: "account",
}
"""What a line can lack, by the field of the step that did not fit."""


@cache
def steps_of(pattern: str) -> tuple[Step, ...]:
    """The steps of a pattern of Apache or nginx, without their end. Raises: SetupError for one that cannot be read."""
    pattern = pattern.replace('\\"', '"').replace("\\t", "\t")
    found = list(_in_nginx(pattern)) if re.search(r"\$\{?\w", pattern) else list(_in_apache(pattern))
    parts = _once(_joined(_merged(found)))
    fields = {part.field for part in parts if isinstance(part, Variable)}
    if scan.TIME not in fields or not fields & {scan.REQUEST, scan.ADDRESS_OF, scan.PATH, scan.STATUS}:
        raise SetupError(
            f"setting web_format: {pattern!r} needs a time (%t, $time_local) and a request (%r, $request): write it as"
            " Apache's LogFormat or nginx's log_format, such as %h %l %u %t \"%r\" %>s %b"
        )
    return tuple(_compiled(pattern, parts))


def _in_nginx(pattern: str) -> Iterator[str | Variable]:
    for part in _IN_NGINX.finditer(pattern):
        name = part["braced"] or part["plain"]
        if name is None:
            yield part["text"]
        else:
            yield _NGINX.get(name, _SKIP)


def _in_apache(pattern: str) -> Iterator[str | Variable]:
    for part in _IN_APACHE.finditer(pattern):
        name, braces = part["name"], part["braces"]
        if name is None:
            yield part["text"] or "%"
        elif name == "t":
            yield from _time(pattern, braces)
        elif name == "T" and braces is not None:
            if braces not in _US:
                raise SetupError(f"setting web_format: {pattern!r}: %{{{braces}}}T is not known; there are us, ms, s")
            yield Variable(scan.DURATION, scan.RESPONSE, _US[braces])
        elif name == "i" and braces is not None:
            yield _HEADERS.get(braces.lower(), _SKIP)
        elif braces is not None and name not in ("h", "a", "p", "P"):
            yield _SKIP
        elif name in _APACHE:
            yield _APACHE[name]
        else:
            raise SetupError(f"setting web_format: {pattern!r}: %{name} is not known to Apache's LogFormat")


def _time(pattern: str, braces: str | None) -> Iterator[str | Variable]:
    """`%t`, which writes brackets, or `%{…}t`."""
    stamp = _APACHE["t"]
    if braces is None:
        yield from ("[", stamp, "]")
        return
    form = re.sub(r"^(?:begin|end):", "", braces).replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S")
    if form in _EPOCHS:
        yield Variable(scan.EPOCH, scan.TIME, _EPOCHS[form])
        return
    body = form.strip("[]")
    if re.sub(r"\s*%z$", "", body) not in _DATES:
        raise SetupError(
            f"setting web_format: {pattern!r}: the time %{{{braces}}}t is not known here; there are"
            f" %t, %{{sec}}t, %{{msec}}t, %{{usec}}t and {', '.join(f'%{{{each}}}t' for each in _DATES)}, with %z or"
            " without"
        )
    yield from (part for part in (form[: form.find("%")], stamp, form[len(form.rstrip("]")) :]) if part)


def _merged(parts: Sequence[str | Variable]) -> list[str | Variable]:
    """Path and query that follow each other directly (`%U%q`, `$uri$is_args$args`) become one address."""
    merged: list[str | Variable] = []
    for part in parts:
        last = merged[-1] if merged else ""
        of_path = isinstance(last, Variable) and last.field in (scan.PATH, scan.ADDRESS_OF)
        if of_path and isinstance(part, Variable) and part.field in (scan.QUERY, scan.NO_FIELD):
            merged[-1] = _NGINX["request_uri"]
        else:
            merged.append(part)
    return merged


def _joined(parts: Sequence[str | Variable]) -> list[str | Variable]:
    """Texts that follow each other become one."""
    joined: list[str | Variable] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def _once(parts: Sequence[str | Variable]) -> list[str | Variable]:
    """Of several variables of one field the first stays, of response times the most accurate one."""
    durations = [part for part in parts if isinstance(part, Variable) and part.field == scan.RESPONSE]
    summed = any(part.form == _SUM for part in durations)
    best = min(durations, key=lambda part: _ACCURATE[part.unit], default=None)
    seen: set[int] = set()
    once: list[str | Variable] = []
    for part in parts:
        if isinstance(part, Variable) and part.field >= 0:
            worse = part.field == scan.RESPONSE and not summed and part is not best
            if worse or (part.field in seen and part.form != _SUM):
                part = part._replace(field=scan.NO_FIELD) if part.step != scan.DURATION else _SKIP  # noqa: PLW2901
            else:
                seen.add(part.field)
        once.append(part)
    return once


def _compiled(pattern: str, parts: Sequence[str | Variable]) -> Iterator[Step]:
    for place, part in enumerate(parts):
        if isinstance(part, str):
            for text in re.findall(r" +|[^ ]+", part):
                yield (scan.BLANK, -1, 0, 0, 0) if text.isspace() and "\t" not in text else (
                    scan.LITERAL, -1, text, len(text.encode()), 0
                )  # fmt: skip
            continue
        before, after = (parts[place - 1] if place else ""), (parts[place + 1] if place + 1 < len(parts) else "")
        if isinstance(after, Variable) and part.step in (scan.TOKEN, scan.LAST):
            raise SetupError(
                f"setting web_format: {pattern!r}: nothing says where one of its parts ends and the next begins"
            )
        beyond = parts[place + 3] if place + 3 < len(parts) else ""
        yield _step(pattern, part, *(each if isinstance(each, str) else "" for each in (before, after, beyond)))


def _step(pattern: str, part: Variable, before: str, after: str, beyond: str) -> Step:
    """The step of a variable between two texts; `beyond` is the text after the next variable."""
    if part.step != scan.TOKEN:
        return part.step, part.field, part.unit, part.form, 0
    if before.endswith('"') and after.startswith('"'):
        return scan.QUOTED, part.field, 0, 0, 0
    if part.words and after.startswith(" "):
        if not after.strip(" "):
            raise SetupError(f"setting web_format: {pattern!r}: a request or an agent holds blanks: set it in quotes")
        return scan.UNTIL, part.field, after, len(after.encode()), 0
    if after.startswith(":") and part.field in (scan.CLIENT, scan.SERVICE):
        return scan.LAST, part.field, ord(":"), (beyond or " ").encode()[0], 0
    return scan.TOKEN, part.field, after.encode()[0] if after else -1, 0, 0


class Layouts:
    """Layouts compiled for the scan: `table` is what `scan.scan` takes, `layouts` are those of its numbers.

    Raises: SetupError for a pattern that cannot be used.
    """

    def __init__(self, layouts: Sequence[AccessLayout]) -> None:
        self.layouts = tuple(layouts)
        self.names = tuple(layout.name for layout in layouts)
        programs = [(*steps_of(layout.pattern), (scan.END, -1, number, 0, 0)) for number, layout in enumerate(layouts)]
        tree: list[Step] = []
        _grow(tree, programs)
        begin = 3
        literals_at = begin + scan.STEP * len(tree)
        literals: list[int] = []
        rows: list[int] = []
        self._fields: dict[int, int] = {}
        for place, (what, field, one, two, three) in enumerate(tree):
            self._fields[begin + scan.STEP * place] = field
            if isinstance(one, str):
                rows += [what, field, literals_at + len(literals), two, three]
                literals += one.encode()
            elif what == scan.FORK:
                rows += [what, field, begin + scan.STEP * one, two, three]
            else:
                rows += [what, field, one, two, three]
        masks = [
            sum({1 << step[1] for step in program if step[1] >= 0}) | int(layout.whole_url) << scan.FIELDS
            for program, layout in zip(programs, layouts, strict=True)
        ]
        self.table = np.array([begin, literals_at + len(literals), 0, *rows, *literals, *masks], np.int64)

    def lacking(self, step: int) -> str:
        """What a line lacks that went as far as a step of the table."""
        return MEANINGS.get(self._fields.get(step, -1), "")


def _grow(tree: list[Step], programs: Sequence[tuple[Step, ...]]) -> None:
    """Append programs, of which neighbours that begin alike share their beginning; the first one that fits counts."""
    groups = [(step, [program[1:] for program in group]) for step, group in groupby(programs, itemgetter(0))]
    for number, (step, rest) in enumerate(groups, 1):
        fork = len(tree)
        if number < len(groups):
            tree.append((scan.FORK, -1, 0, 0, 0))
        tree.append(step)
        if step[0] != scan.END:
            _grow(tree, rest)
        if number < len(groups):
            tree[fork] = (scan.FORK, -1, len(tree), 0, 0)


KNOWN: Final = _known()
"""The layouts that are tried, in their order."""


@cache
def layouts_of(web_format: str) -> Layouts:
    """The layouts that the setting `web_format` names: auto, or a pattern that is tried before them.

    Raises: SetupError for a pattern that cannot be used.
    """
    if web_format == "auto":
        return Layouts(KNOWN)
    return Layouts((AccessLayout(f"own format {web_format}", web_format, ""), *KNOWN))
