"""Checks of health, as they are answered over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.web.health import Check


def respond(
    checks: Sequence[Check], *, only: str | None = None, exclude: Sequence[str] = ()
) -> JSONResponse:
    """200 if all that is asked for is well, else 503; each check with its reason."""
    asked = [check for check in checks if check.name not in exclude and only in (None, check.name)]
    if only is not None and not asked:
        return JSONResponse({"error": f"there is no check {only}"}, status_code=404)
    ok = all(check.ok for check in asked)
    document = {"ok": ok, "checks": {check.name: check.why or "ok" for check in asked}}
    return JSONResponse(document, status_code=200 if ok else 503)
