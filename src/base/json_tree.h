/* How a parsed value lies in memory: for json_parse.c, which makes it, and json.c, which reads it.
 */
#pragma once
#include "base/json.h"

struct json_member;

struct json {
    enum json_kind kind;
    uint32_t n; /* bytes of a string or of a real's text, elements, members */
    union {
        bool b;
        int64_t i;
        const char *s; /* JK_STR decoded, JK_REAL as it was written; a NUL behind it */
        const json *items;
        const struct json_member *members; /* in the order of the text */
    };
};

struct json_member {
    sv key;
    json value;
};

/* For qsort, of pointers to members. */
int json_by_key(const void *a, const void *b);
