"""Signing in with a token, which the browser then keeps in a cookie that no script can read."""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from hdfs_pipeline.serving.home import COOKIE, TheHome
from hdfs_pipeline.serving.pages.render import form, page

router = APIRouter(include_in_schema=False)

_DAYS: Final = 30


@router.get("/login")
async def ask(request: Request, next: str = "/") -> Response:
    """The form."""
    return page(request, "login.html", next=next, wrong="")


@router.post("/login")
async def sign_in(request: Request, home: TheHome) -> Response:
    """Keep a token that is good; go on to the page that was asked for."""
    fields = await form(request)
    text, target = fields.get("token", "").strip(), fields.get("next", "/")
    if home.tokens.find(text) is None:
        return page(request, "login.html", 401, next=target, wrong="This token is unknown, revoked or over.")
    own = target.startswith("/") and target[1:2] not in ("/", "\\")  # `//host` would name another server
    answer = RedirectResponse(target if own else "/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, text, max_age=_DAYS * 86_400, httponly=True, samesite="strict", secure=secure)
    return answer


@router.post("/logout")
async def sign_out() -> Response:
    """Forget the token."""
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE)
    return answer
