"""HTML of templates: what every page shares, and answers for browsers in place of JSON."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.scoring.labels import WORDS
from hdfs_pipeline.serving.cache import FRESH_S
from hdfs_pipeline.serving.home import COOKIE, Home
from hdfs_pipeline.serving.problems import Problem
from hdfs_pipeline.serving.sections import APPLOGS, EXPERIMENTS, WEB
from hdfs_pipeline.shown import plain
from hdfs_pipeline.verdicts.lacks import duration
from hdfs_pipeline.verdicts.listing import counted

STATIC: Final = Path(__file__).parent / "static"
_THEMES: Final = ("dark", "light")
_MOST_FIELDS: Final = 100


class Page(NamedTuple):
    """An entry of the navigation."""

    path: str
    name: str
    section: str = ""
    """The section that a home must have, so that there is a link to it; '' for none."""


NAVIGATION: Final = (
    Page("/", "Now"),
    Page("/incidents", "Incidents"),
    Page("/groups", "Groups"),
    Page("/namenode", "NameNode"),
    Page("/web", "Web", WEB),
    Page("/applogs", "Applications", APPLOGS),
    Page("/models", "Models"),
    Page("/experiments", "Experiments", EXPERIMENTS),
    Page("/logs", "Logs"),
    Page("/system", "System"),
    Page("/docs", "API"),
)


def _moment(text: str | datetime) -> str:
    """A time as people read it: 2026-11-21 14:46:05, UTC."""
    time = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


@cache
def _static(name: str) -> str:
    """Address of a file, which changes with its content: browsers may keep it for ever."""
    return f"/static/{name}?{hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hdfs_pipeline.serving.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,  # no signs that hide or turn text
    )
    environment.filters |= {"moment": _moment, "duration": duration}
    environment.globals |= {"static": _static, "counted": counted, "verdicts": [*WORDS]}
    return environment


def html(request: Request, name: str, **values: Any) -> str:
    """The HTML of a template with `values`, as the page of this request."""
    theme = request.cookies.get("theme", "")
    sections = request.app.state.home.sections.present
    return (
        _environment()
        .get_template(name)
        .render(
            values,
            theme=theme if theme in _THEMES else "",
            here=_here(request.url.path),
            navigation=[page for page in NAVIGATION if page.section in ("", *sections)],
            sections=sections,
            signed_in=bool(request.cookies.get(COOKIE)),
            address=f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path,
        )
    )


def _here(path: str) -> str:
    """The entry of the navigation that a page belongs to."""
    if path.startswith(("/items/", "/feed")):
        return "/groups"
    return next((page.path for page in NAVIGATION[1:] if path.startswith(page.path)), "/")


async def respond(
    request: Request, home: Home, name: str, make: Callable[[], dict[str, Any]], fresh_s: float = FRESH_S
) -> Response:
    """A page whose values `make` gives, in a thread; kept as the answers of the API are (`Cache.respond`)."""
    key = request.cookies.get("theme", ""), bool(request.cookies.get(COOKIE))

    def write() -> bytes:
        home.sections.look(home.cache.state())
        return html(request, name, **make()).encode()

    return await home.cache.respond(request, write, fresh_s, key)


def page(request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page that is made for one request alone."""
    return HTMLResponse(html(request, name, **values), status)


async def form(request: Request) -> dict[str, str]:
    """The fields of a form that a page has sent; of several of one name the last. Raises: UsageError for too many."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise UsageError(f"no form of these pages has more than {_MOST_FIELDS} fields: send it from its page") from None


def wants_html(request: Request) -> bool:
    """Whether a browser asks for a page, and not a program for data."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(("/api/", "/metrics"))


def shown_problem(request: Request, problem: Problem) -> Response | None:
    """A problem as a page, where a browser asks for one; who needs a token is asked for it."""
    if not wants_html(request):
        return None
    if problem.status == 401:
        wanted = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        return RedirectResponse(f"/login?next={quote(wanted)}", 303)
    return page(request, "problem.html", problem.status, problem=problem)
