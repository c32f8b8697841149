#include "purchase/discount.h"

#include "queries.h"

#define CODE_MAX 40

/* -------- making -------- */

static err code_read(struct arena *mem, sv code, sv *out)
{
    if (!code.p)
        return OK;
    sv c = sv_trim(code);
    if (c.n < 3 || c.n > CODE_MAX)
        return FAIL_FIELD(ERR_VALIDATION, "/code", "has 3 to %d characters", CODE_MAX);
    char *p = arena_cstr(mem, c);
    for (size_t i = 0; i < c.n; i++) {
        if (p[i] >= 'a' && p[i] <= 'z')
            p[i] = (char)(p[i] - 32);
        bool good = (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '-' ||
                    p[i] == '_';
        if (!good)
            return FAIL_FIELD(ERR_VALIDATION, "/code", "has letters, digits, - and _ only");
    }
    *out = sv_from(p);
    return OK;
}

static err worth_check(const struct discount_new *d)
{
    if ((d->percent >= 0) == (d->amount >= 0))
        return FAIL_FIELD(ERR_VALIDATION, "/percent", "give either percent or amount");
    if (d->percent >= 0 && (d->percent < 1 || d->percent > 100))
        return FAIL_FIELD(ERR_VALIDATION, "/percent", "is 1 to 100");
    if (d->amount >= 0 && (d->amount < 1 || d->amount > 99999999))
        return FAIL_FIELD(ERR_VALIDATION, "/amount", "is 1 to 99999999");
    return OK;
}

static err scope_check(const struct catalog *cat, const struct discount_new *d)
{
    if (!d->code.p && user_id_none(&d->member))
        return FAIL_FIELD(ERR_VALIDATION, "/code", "give a code, or the member it is for");
    if (d->kind.p && !sv_is(d->kind, "quiz") && !sv_is(d->kind, "article"))
        return FAIL_FIELD(ERR_VALIDATION, "/kind", "is quiz or article");
    if (d->item.p && !catalog_find(cat, d->item))
        return FAIL_FIELD(ERR_VALIDATION, "/item", "is not in the catalogue");
    if (!ts_is_none(d->from) && !ts_is_none(d->until) && !ts_before(d->from, d->until))
        return FAIL_FIELD(ERR_VALIDATION, "/validUntil", "is not after validFrom");
    if (d->max_uses == 0 || d->max_uses < -1)
        return FAIL_FIELD(ERR_VALIDATION, "/maxUses", "is at least 1");
    if (d->max_per_member == 0 || d->max_per_member < -1)
        return FAIL_FIELD(ERR_VALIDATION, "/maxUsesPerMember", "is at least 1");
    return OK;
}

static err currency_check(const struct catalog *cat, const struct discount_new *d, sv *out)
{
    currency *c = &(currency){""};
    if (d->amount < 0)
        return OK;
    if (!d->currency.p) {
        *out = currency_sv(&cat->plan_currency);
        return OK;
    }
    if (!currency_parse(d->currency, c))
        return FAIL_FIELD(ERR_VALIDATION, "/currency", "is not a currency code");
    *out = d->currency;
    return OK;
}

static opt_int limit_of(int64_t v)
{
    return (opt_int){v >= 0, v};
}

err discount_put(struct db_tx *tx, struct arena *mem, const struct catalog *cat,
                 const struct discount_new *d, ts now, sv *id)
{
    sv code = SV_NULL, code_currency = SV_NULL;
    TRY(worth_check(d));
    TRY(scope_check(cat, d));
    TRY(code_read(mem, d->code, &code));
    TRY(currency_check(cat, d, &code_currency));
    if (code.p) {
        struct discount_code_taken_row row;
        bool taken;
        TRY(q_discount_code_taken(tx, mem, &(struct discount_code_taken_in){code}, &row, &taken));
        if (taken)
            return FAIL_FIELD(ERR_UNIQUE, "/code", "there is a discount with this code");
    }
    sv made = id_new(mem, "dsc", now);
    struct discount_put_in in = {.id = made,
                                 .code = code,
                                 .member =
                                     user_id_none(&d->member) ? SV_NULL : user_id_sv(&d->member),
                                 .percent = limit_of(d->percent),
                                 .amount = limit_of(d->amount),
                                 .currency = code_currency,
                                 .kind = d->kind,
                                 .item = d->item,
                                 .valid_from = d->from,
                                 .valid_until = d->until,
                                 .max_uses = limit_of(d->max_uses),
                                 .max_per_member = limit_of(d->max_per_member),
                                 .note = d->note,
                                 .created_by = d->created_by,
                                 .now = now};
    TRY(q_discount_put(tx, mem, &in, NULL));
    *id = made;
    return OK;
}

/* -------- reading -------- */

static int64_t value_or(opt_int v)
{
    return v.has ? v.v : -1;
}

#define DISCOUNT_FROM(r)                                                                           \
    ((struct discount){.id = (r).id,                                                               \
                       .code = (r).code,                                                           \
                       .kind = (r).kind,                                                           \
                       .item = (r).item,                                                           \
                       .note = (r).note,                                                           \
                       .created_by = (r).created_by,                                               \
                       .member = user_id_from((r).member),                                         \
                       .percent = value_or((r).percent),                                           \
                       .amount = value_or((r).amount),                                             \
                       .currency = (r).currency,                                                   \
                       .from = (r).valid_from,                                                     \
                       .until = (r).valid_until,                                                   \
                       .created = (r).created_at,                                                  \
                       .disabled = (r).disabled_at,                                                \
                       .max_uses = value_or((r).max_uses),                                         \
                       .max_per_member = value_or((r).max_per_member),                             \
                       .used = (r).used})

err discount_get(struct db_tx *tx, struct arena *mem, sv id, struct discount *out)
{
    struct discount_get_row row;
    err e = q_discount_get(tx, mem, &(struct discount_get_in){id}, &row);
    if (e == ERR_NOT_FOUND)
        return FAIL(ERR_NOT_FOUND, "there is no such discount");
    TRY(e);
    *out = DISCOUNT_FROM(row);
    return OK;
}

err discount_list(struct db_tx *tx, struct arena *mem, sv before, int64_t limit,
                  struct discount **out, size_t *n)
{
    struct discount_list_row *rows;
    size_t count;
    struct discount_list_in in = {.before = before.p ? before : SV("~"), .n = limit};
    TRY(q_discount_list(tx, mem, &in, &rows, &count));
    struct discount *d = ARENA_ARRAY(mem, struct discount, count + 1);
    for (size_t i = 0; i < count; i++)
        d[i] = DISCOUNT_FROM(rows[i]);
    *out = d;
    *n = count;
    return OK;
}

err discount_del(struct db_tx *tx, sv id, ts now)
{
    int64_t changed;
    TRY(q_discount_del(tx, NULL, &(struct discount_del_in){id, now}, &changed));
    return changed == 1 ? OK : FAIL(ERR_NOT_FOUND, "there is no such discount in force");
}

/* -------- writing -------- */

static void write_limit(struct jw *w, const char *key, int64_t v)
{
    if (v >= 0)
        jw_kint(w, key, v);
    else
        jw_knull(w, key);
}

void discount_write(struct jw *w, const struct discount *d)
{
    jw_obj(w);
    jw_kstr(w, "id", d->id);
    jw_kstr(w, "code", d->code);
    jw_kstr(w, "userId", user_id_none(&d->member) ? SV_NULL : user_id_sv(&d->member));
    write_limit(w, "percent", d->percent);
    write_limit(w, "amount", d->amount);
    jw_kstr(w, "currency", d->currency);
    jw_kstr(w, "kind", d->kind);
    jw_kstr(w, "item", d->item);
    jw_kts(w, "validFrom", d->from);
    jw_kts(w, "validUntil", d->until);
    write_limit(w, "maxUses", d->max_uses);
    write_limit(w, "maxUsesPerMember", d->max_per_member);
    jw_kint(w, "used", d->used);
    jw_kstr(w, "note", d->note);
    jw_kstr(w, "createdBy", d->created_by);
    jw_kts(w, "createdAt", d->created);
    jw_kts(w, "disabledAt", d->disabled);
    jw_obj_end(w);
}
