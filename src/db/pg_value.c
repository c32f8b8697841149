/* Values in PostgreSQL's binary form. */
#include "db/pg_internal.h"

#include <endian.h>
#include <math.h>

enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_FLOAT8 = 701
};
enum { OID_NUMERIC = 1700, OID_TEXT = 25, OID_VARCHAR = 1043, OID_NAME = 19, OID_UNKNOWN = 705 };

const char *pg_encode(const struct db_val *v, union pg_int *space, int *length)
{
    switch (v->type) {
    case DB_INT:
        space->u = htobe64((uint64_t)v->i);
        *length = 8;
        return (const char *)space->b;
    case DB_TEXT:
    case DB_BLOB:
        *length = (int)v->s.n;
        return v->s.p;
    default:
        *length = 0;
        return NULL;
    }
}

static uint64_t big_endian(const char *p, int n)
{
    uint64_t u = 0;
    for (int i = 0; i < n; i++)
        u = u << 8 | (unsigned char)p[i];
    return u;
}

static int16_t be16(const char *p)
{
    return (int16_t)big_endian(p, 2);
}

/* What SUM(bigint) answers: base-10000 digits. The whole part, as SQLite's integers are. */
static bool numeric(const char *p, int n, int64_t *out)
{
    if (n < 8)
        return false;
    int digits = be16(p), weight = be16(p + 2);
    bool negative = be16(p + 4) == 0x4000;
    __int128 sum = 0;
    if (weight > 4)
        return false;
    for (int i = 0; i <= weight; i++)
        sum = sum * 10000 + (i < digits && 8 + 2 * i + 2 <= n ? be16(p + 8 + 2 * i) : 0);
    sum = negative ? -sum : sum;
    if (sum > INT64_MAX || sum < INT64_MIN)
        return false;
    *out = (int64_t)sum;
    return true;
}

static bool integer(Oid type, const char *p, int n, int64_t *out)
{
    switch (type) {
    case OID_INT8:
        *out = (int64_t)big_endian(p, 8);
        return true;
    case OID_INT4:
        *out = (int32_t)big_endian(p, 4);
        return true;
    case OID_INT2:
        *out = be16(p);
        return true;
    case OID_BOOL:
        *out = p[0] != 0;
        return true;
    case OID_NUMERIC:
        return numeric(p, n, out);
    case OID_FLOAT8: {
        uint64_t u = big_endian(p, 8);
        double d;
        memcpy(&d, &u, sizeof d);
        if (!(fabs(d) < 9e18))
            return false;
        *out = (int64_t)d;
        return true;
    }
    default:
        return false;
    }
}

static bool texty(Oid type)
{
    return type == OID_TEXT || type == OID_VARCHAR || type == OID_NAME || type == OID_UNKNOWN;
}

err pg_decode(const PGresult *r, const struct db_stmt *s, int row, int col, struct arena *mem,
              struct db_val *out)
{
    if (PQgetisnull(r, row, col)) {
        *out = (struct db_val){DB_NULL, INT64_MIN, SV_NULL};
        return s->col_nullable[col] == '0' ? column_null(s, (size_t)col) : OK;
    }
    Oid type = PQftype(r, col);
    const char *p = PQgetvalue(r, row, col);
    int n = PQgetlength(r, row, col);
    char want = s->col_types[col];
    int64_t i;
    if (want == 'i' && integer(type, p, n, &i)) {
        *out = (struct db_val){DB_INT, i, SV_NULL};
        return OK;
    }
    if ((want == 't' && texty(type)) || (want == 'b' && type == OID_BYTEA)) {
        *out =
            (struct db_val){want == 't' ? DB_TEXT : DB_BLOB, 0, arena_sv(mem, (sv){p, (size_t)n})};
        return OK;
    }
    return FAIL(ERR_INTERNAL, "query %s: column %s has PostgreSQL's type %u, which is not '%c'",
                s->name, s->col_names[col], type, want);
}
