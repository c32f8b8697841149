/* The compiled route table: a hash for plain paths, a short list for those with parameters. */
#pragma once
#include "http/route.h"

#define PARAMS_MAX   6
#define SEGMENTS_MAX 12

struct router;
struct match {
    const struct route *route; /* NULL: none for this method */
    unsigned index;            /* of the route, for metrics */
    unsigned allow;            /* bits of the methods this path knows; 0: unknown path */
    sv params[PARAMS_MAX];     /* decoded, in the order of the pattern */
    unsigned nparams;
};
/* Asserts what a table must hold: a rule for the caller, a handler, no row twice. */
struct router *router_new(const struct route_set *sets, size_t n);
void router_free(struct router *t);
size_t router_count(const struct router *t);
const struct route *router_route(const struct router *t, size_t i);
/* `path` is as sent, its encodings already checked. method METHOD_COUNT = one we do not know. */
void router_find(const struct router *t, struct arena *mem, sv path, enum method method,
                 struct match *out);
enum method method_parse(sv s); /* METHOD_COUNT if unknown; HEAD is not known here */
const char *method_name(enum method m);
