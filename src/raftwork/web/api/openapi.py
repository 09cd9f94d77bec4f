"""The API as OpenAPI 3.1, made of its endpoints: what is not in them is not in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from raftwork.release import RELEASE
from raftwork.web.api.endpoint import BODY_BYTES_MAX, LIST_MAX, TEXT_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raftwork.web.api.endpoint import Endpoint, Field

_IN_PATH: Final = re.compile(r"{(\w+)(?::path)?}")
_TYPES: Final[Mapping[type, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
}
#: What any request may be answered instead.
_REFUSED: Final = {
    "400": "Something in the request cannot be meant; the text names it.",
    "401": "A token is needed.",
    "403": "This may not be done, or not so.",
    "404": "There is no such thing.",
    "409": "It contradicts what is there.",
    "429": "There is no room for it now.",
    "500": "This process failed; its log says how.",
    "503": "No leader with a majority answers, or too many streams are open.",
    "504": "There was no answer in time.",
}
#: And an action.
_BODY_REFUSED: Final = {
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "415": "It is not sent as application/json.",
}


def document(endpoints: Sequence[Endpoint]) -> dict[str, object]:
    """Of all of them."""
    paths: dict[str, dict[str, object]] = {}
    for each in endpoints:
        path = _IN_PATH.sub(r"{\1}", each.path)
        paths.setdefault(path, {})[each.method.lower()] = _operation(each)
    paths |= {"/session": {"post": _LOG_IN}, "/session/end": {"post": _LOG_OUT}}
    error = {"type": "object", "properties": {"error": _TEXT, "text": _TEXT}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Raftwork", "version": RELEASE, "description": _ABOUT},
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {
            "schemas": {"Error": error},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "raftwork_token"},
            },
        },
        "security": [{"token": []}, {"cookie": []}, {}],
    }


_TEXT: Final = {"type": "string"}
_DOCUMENT: Final = {"application/json": {"schema": {"type": "object"}}}
_STREAM: Final = {"text/event-stream": {"schema": _TEXT}}
_ABOUT: Final = (
    "A cluster's queues, tasks and brokers. Instants are ISO 8601 in UTC, durations seconds. A body"
    f" has at most {BODY_BYTES_MAX} bytes. Without a bearer token a POST needs the header"
    " `X-Raftwork: 1`, and a page of the same origin."
)


def _operation(each: Endpoint) -> dict[str, object]:
    in_path = set(_IN_PATH.findall(each.path))
    made: dict[str, object] = {
        "operationId": _id(each),
        "summary": each.summary,
        "description": (each.answer.__doc__ or "").strip(),
        "x-role": each.role.word,
        "responses": {
            "200": {
                "description": "Done." if each.changes else "What there is.",
                "content": _content(each),
            },
            **_refusals(changes=each.changes),
        },
    }
    if each.changes:
        schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {field.name: _schema(field) for field in each.fields},
            "required": [field.name for field in each.fields if field.required],
        }
        content = {"application/json": {"schema": schema}}
        made["requestBody"] = {"required": True, "content": content}
    else:
        made["parameters"] = [
            {
                "name": field.name,
                "in": "path" if field.name in in_path else "query",
                "required": field.required,
                "description": field.help,
                "schema": _schema(field),
            }
            for field in each.fields
        ]
    return made


def _content(each: Endpoint) -> dict[str, object]:
    told: dict[str, object] = {}
    if each.stream is not each.answer:
        told |= _DOCUMENT
    if each.stream is not None:
        told |= _STREAM
    return told


def _id(each: Endpoint) -> str:
    words = re.findall(r"\w+", each.path.replace(":path", ""))
    return "_".join([each.method.lower(), *words])


def _refusals(*, changes: bool) -> dict[str, object]:
    texts = _REFUSED | _BODY_REFUSED if changes else _REFUSED
    return {code: _refusal(text) for code, text in sorted(texts.items())}


def _refusal(text: str) -> dict[str, object]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _schema(field: Field) -> dict[str, object]:
    made: dict[str, object] = {"type": _TYPES[field.kind], "description": field.help}
    if field.kind is str:
        made["maxLength"] = TEXT_MAX
    elif field.kind is list:
        made |= {"items": {"type": "string", "maxLength": TEXT_MAX}, "maxItems": LIST_MAX}
    elif field.kind is not bool:
        made |= {"minimum": field.least, "maximum": field.most}
    if field.default is not None:
        made["default"] = field.default
    return made


def _session(name: str, summary: str, required: list[str]) -> dict[str, object]:
    token = {"type": "string", "maxLength": TEXT_MAX, "description": "a token of the token file"}
    schema = {
        "type": "object",
        "properties": dict.fromkeys(required, token),
        "required": required,
    }
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {"description": "Done.", "content": _DOCUMENT},
            **_refusals(changes=True),
        },
        "security": [{}],
    }


_LOG_IN: Final = _session("post_session", "Take a token for a cookie.", ["token"])
_LOG_OUT: Final = _session("post_session_end", "Drop that cookie.", [])
