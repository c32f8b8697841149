/* The request checks of the OpenAPI document: which parameters an operation takes and of which
 * type. The tables are made by tools/stripe_tables.py from sandbox/data/stripe-openapi.json. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum sb_kind {
    SB_STRING = 1,
    SB_ENUM = 2,
    SB_INTEGER = 4,
    SB_NUMBER = 8,
    SB_BOOLEAN = 16,
    SB_OBJECT = 32,
    SB_MAP = 64, /* any keys, string values: metadata */
    SB_ARRAY = 128,
    SB_EMPTY = 256, /* "" unsets it */
};

struct sb_spec {
    const char *name;
    unsigned kinds;
    bool required;
    size_t count; /* of sub */
    const struct sb_spec *sub;
    const struct sb_spec *item;
    const char *const *enums; /* NULL-terminated, or NULL */
};

struct sb_operation {
    const char *method, *pattern; /* "/v1/customers/{}" */
    const struct sb_spec *sub;
    size_t count;
};
extern const struct sb_operation sb_operations[];
extern const size_t sb_operation_count;

struct sb_template {
    const char *name, *json;
};
extern const struct sb_template sb_templates[];
extern const size_t sb_template_count;

/* What is wrong with a request, as Stripe says it. */
struct sb_fault_text {
    char code[64], message[512], param[256];
};

/* A form body or query string as nested objects of strings: a[b][0]=c → {"a":{"b":{"0":"c"}}}. NULL
 * with `why` if it is not well formed. */
json_t *sb_form_parse(const char *text, size_t len, struct sb_fault_text *why);
/* The operation's row; NULL if the document has none. */
const struct sb_operation *sb_operation_find(const char *method, const char *pattern);
/* Types the raw tree by the operation. NULL with `why` at the first mistake. New reference. */
json_t *sb_spec_check(const struct sb_operation *op, json_t *raw, struct sb_fault_text *why);
