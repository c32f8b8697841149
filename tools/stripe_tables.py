#!/usr/bin/env python3
"""Turns the OpenAPI document of sandbox/data into the sandbox's C tables.

  stripe_tables.py trim FULL.json OUT.json   keep what the sandbox plays, without descriptions
  stripe_tables.py tables IN.json OUT.c      parameter checks and answer templates (at build)
"""
import json
import re
import sys

OPERATIONS = [
    "billing_portal/", "charges", "checkout/", "coupons", "customers", "disputes", "events",
    "invoice_payments", "invoices", "payment_intents", "payment_methods", "prices", "products",
    "promotion_codes", "refunds", "subscriptions", "test_helpers/", "webhook_endpoints",
]
TEMPLATES = [
    "billing_portal.configuration", "billing_portal.session", "charge", "checkout.session", "coupon",
    "customer", "discount", "dispute", "event", "invoice", "invoice_payment", "item", "line_item",
    "payment_intent", "payment_method", "plan", "price", "product", "promotion_code", "refund",
    "subscription", "subscription_item", "test_helpers.test_clock", "webhook_endpoint",
]


def plain(node):
    if isinstance(node, dict):
        return {k: plain(v) for k, v in node.items()
                if not (k in ("description", "summary") and isinstance(v, str))
                and k not in ("x-expandableFields", "maxLength", "style", "explode")}
    if isinstance(node, list):
        return [plain(v) for v in node]
    return node


def references(node, found):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            found.add(node["$ref"].rsplit("/", 1)[-1])
        for value in node.values():
            references(value, found)
    elif isinstance(node, list):
        for value in node:
            references(value, found)


def trim(source, target):
    with open(source, encoding="utf-8") as f:
        doc = json.load(f)
    paths = {p: plain(ops) for p, ops in doc["paths"].items()
             if "/search" not in p and any(p.startswith("/v1/" + o) for o in OPERATIONS)}
    schemas, wanted = {}, set(TEMPLATES) | {"error"}
    references(paths, wanted)
    while wanted - schemas.keys():
        for name in wanted - schemas.keys():
            schemas[name] = plain(doc["components"]["schemas"][name])
            references(schemas[name], wanted)
    info = {"title": doc["info"]["title"], "version": doc["info"]["version"]}
    out = {"openapi": doc["openapi"], "info": info, "paths": paths, "components": {"schemas": schemas}}
    with open(target, "w", encoding="utf-8") as f:
        f.write("{\n")
        f.write('"openapi": %s,\n"info": %s,\n"paths": {\n' % (json.dumps(out["openapi"]), json.dumps(info)))
        f.write(",\n".join(json.dumps(p) + ": " + json.dumps(ops, separators=(",", ":"))
                           for p, ops in paths.items()))
        f.write('\n},\n"components": {"schemas": {\n')
        f.write(",\n".join(json.dumps(n) + ": " + json.dumps(schemas[n], separators=(",", ":"))
                           for n in sorted(schemas)))
        f.write("\n}}\n}\n")


def c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Tables:
    def __init__(self):
        self.lines = []
        self.known = {}

    def emit(self, kind, body):
        """One static table for each distinct body."""
        key = (kind, body)
        if key not in self.known:
            name = "%s%d" % ("e" if "char" in kind else "s", len(self.known))
            self.known[key] = name
            self.lines.append("static %s %s[] = {\n%s};\n" % (kind, name, body))
        return self.known[key]

    def enum(self, values):
        body = ", ".join(c_string(v) for v in values)
        return self.emit("const char *const", "    " + body + ", NULL\n")

    def children(self, properties, required):
        body = "".join("    %s,\n" % self.node(name, schema, name in required)
                       for name, schema in properties.items())
        return self.emit("const struct sb_spec", body), len(properties)

    def node(self, name, schema, required):
        kinds, enums, sub, count, item = set(), [], "NULL", 0, "NULL"
        for alt in schema.get("anyOf", [schema]):
            kind = alt.get("type", "string")
            if kind == "string" and "enum" in alt:
                if alt["enum"] == [""]:
                    kinds.add("SB_EMPTY")
                else:
                    kinds.add("SB_ENUM")
                    enums += [v for v in alt["enum"] if v != ""]
            elif kind == "object" and alt.get("properties"):
                kinds.add("SB_OBJECT")
                sub, count = self.children(alt["properties"], alt.get("required", []))
            elif kind == "object":
                kinds.add("SB_MAP" if alt.get("additionalProperties") else "SB_OBJECT")
            elif kind == "array":
                kinds.add("SB_ARRAY")
                item = self.emit("const struct sb_spec", "    %s,\n" % self.node("", alt["items"], False))
            else:
                kinds.add({"string": "SB_STRING", "integer": "SB_INTEGER", "number": "SB_NUMBER",
                           "boolean": "SB_BOOLEAN"}[kind])
        return "{%s, %s, %s, %d, %s, %s, %s}" % (
            c_string(name), " | ".join(sorted(kinds)), "true" if required else "false", count, sub, item,
            self.enum(enums) if enums else "NULL")


def operation_spec(tables, operation):
    body = operation.get("requestBody")
    if body:
        schema = body["content"]["application/x-www-form-urlencoded"]["schema"]
        properties, required = dict(schema.get("properties", {})), list(schema.get("required", []))
    else:
        properties, required = {}, []
    for p in operation.get("parameters", []):
        if p["in"] == "query":
            properties[p["name"]] = p["schema"]
            if p.get("required"):
                required.append(p["name"])
    if not properties:
        return "NULL", 0
    return tables.children(properties, required)


def template(schemas, schema):
    """An answer with every required field: null where it may be, else the emptiest value."""
    if schema.get("nullable"):
        return None
    if "$ref" in schema or "anyOf" in schema:
        return None
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        return {k: template(schemas, properties[k]) for k in schema.get("required", []) if k in properties}
    if kind == "array":
        return []
    if "enum" in schema:
        return schema["enum"][0]
    return {"string": "", "integer": 0, "boolean": False, "number": 0}[kind]


def tables(source, target):
    with open(source, encoding="utf-8") as f:
        doc = json.load(f)
    t, rows = Tables(), []
    for path, operations in doc["paths"].items():
        for method, operation in operations.items():
            sub, count = operation_spec(t, operation)
            pattern = re.sub(r"\{[^}]*\}", "{}", path)
            rows.append("    {%s, %s, %s, %d},\n" % (c_string(method.upper()), c_string(pattern), sub, count))
    schemas = doc["components"]["schemas"]
    with open(target, "w", encoding="utf-8") as f:
        f.write("/* Made by tools/stripe_tables.py. */\n#include <stddef.h>\n#include \"spec.h\"\n\n")
        f.write("\n".join(t.lines))
        f.write("\nconst struct sb_operation sb_operations[] = {\n%s};\n" % "".join(rows))
        f.write("const size_t sb_operation_count = sizeof(sb_operations) / sizeof(sb_operations[0]);\n\n")
        f.write("const struct sb_template sb_templates[] = {\n")
        for name in TEMPLATES:
            text = json.dumps(template(schemas, schemas[name]), separators=(",", ":"))
            f.write("    {%s, %s},\n" % (c_string(name), c_string(text)))
        f.write("};\nconst size_t sb_template_count = sizeof(sb_templates) / sizeof(sb_templates[0]);\n")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("trim", "tables"):
        sys.exit(__doc__)
    (trim if sys.argv[1] == "trim" else tables)(sys.argv[2], sys.argv[3])
