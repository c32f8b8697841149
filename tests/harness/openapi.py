"""Holds answers to the OpenAPI document of the build."""
import functools
import json
import re

import jsonschema

from .process import BUILD


@functools.lru_cache(None)
def document():
    return json.loads((BUILD / "src" / "page" / "openapi.json").read_text())


@functools.lru_cache(None)
def templates():
    out = []
    for path in document()["paths"]:
        # Literal paths win over templates, as in the router.
        regex = re.compile("^" + re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(path)) + "$")
        out.append((path.count("{"), regex, path))
    return sorted(out, key=lambda t: t[0])


def find(path):
    path = path.split("?")[0]
    for _, regex, template in templates():
        if regex.match(path):
            return template
    return None


@functools.lru_cache(None)
def validator(pointer):
    """pointer: path, method, status, type."""
    path, method, status, kind = pointer
    responses = document()["paths"][path][method]["responses"]
    response = responses.get(status) or responses.get(status[0] + "XX") or responses.get("default")
    if response is None:
        return None
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].split("/")[-1]]
    schema = response.get("content", {}).get(kind, {}).get("schema")
    if schema is None:
        return None
    resolver = jsonschema.RefResolver("", document())
    return jsonschema.Draft202012Validator(schema, resolver=resolver)


def check(method, path, answer):
    kind = answer.headers.get("Content-Type", "").split(";")[0]
    if kind == "application/problem+json":
        problem = answer.json
        for name in ("type", "title", "status", "detail", "code", "requestId", "error"):
            assert name in problem, f"a problem without {name}: {answer}"
        assert problem["status"] == answer.status and problem["error"] == problem["title"], answer
        assert answer.headers.get("X-Request-Id"), answer
        return
    if "json" not in kind or answer.status == 204:
        return
    template = find(path)
    if template is None or method.lower() not in document()["paths"][template]:
        return
    v = validator((template, method.lower(), str(answer.status), kind))
    if v is not None:
        errors = sorted(v.iter_errors(answer.json), key=lambda e: list(e.absolute_path))
        assert not errors, f"{method} {path}: not as in the OpenAPI document: {errors[0].message} at " \
                           f"{list(errors[0].absolute_path)}\n{answer}"
