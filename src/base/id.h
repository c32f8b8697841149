/* Ids: prefix + UUIDv7 as 32 hex digits in groups ("usr_0193…"), ordered by time of creation. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"

#define ID_MAX 48

/* A member's id: a type of its own so that it cannot be mixed with other strings. */
typedef struct user_id {
    char s[ID_MAX]; /* NUL-terminated; "" = none */
} user_id;

/* A visitor's id (the signed cookie's content). */
typedef struct visitor_id {
    char s[ID_MAX];
} visitor_id;

/* A fresh id, e.g. id_new(mem, "pur", now) -> "pur_0193a6b4-…". */
sv id_new(struct arena *mem, const char *prefix, ts now);
user_id user_id_new(ts now);
visitor_id visitor_id_new(ts now);
user_id user_id_from(sv s); /* cut at ID_MAX-1; for values from our own database */
visitor_id visitor_id_from(sv s);
/* Is s `prefix` + "_" + UUID in lower case? */
bool id_valid(sv s, const char *prefix);
static inline bool user_id_none(const user_id *u)
{
    return u->s[0] == '\0';
}
static inline bool user_id_eq(const user_id *a, const user_id *b)
{
    return strcmp(a->s, b->s) == 0;
}
static inline sv user_id_sv(const user_id *u)
{
    return sv_from(u->s);
}
static inline bool visitor_id_none(const visitor_id *v)
{
    return v->s[0] == '\0';
}
static inline sv visitor_id_sv(const visitor_id *v)
{
    return sv_from(v->s);
}
