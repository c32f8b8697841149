#include "account/account_inner.h"
#include "queries.h"

static sv admin_list;

void account_store_init(sv admin_emails)
{
    admin_list = admin_emails;
}

bool account_is_admin(bool flag, bool verified, sv email)
{
    return flag || (verified && account_email_listed(admin_list, email));
}

/* The generated rows of the four look-ups have the same members. */
#define ACCOUNT_OF(r)                                                                              \
    (struct account)                                                                               \
    {                                                                                              \
        .id = user_id_from((r).id), .email = (r).email, .name = (r).name, .locale = (r).locale,    \
        .timezone = (r).timezone, .verified = (r).verified,                                        \
        .admin = account_is_admin((r).admin, (r).verified, (r).email), .created = (r).created_at,  \
        .legacy_id = (r).legacy_id, .has_password = (r).has_password                               \
    }

err account_get(struct db_tx *tx, struct arena *mem, const user_id *id, struct account *out)
{
    struct account_by_id_in in = {.id = user_id_sv(id)};
    struct account_by_id_row row;
    bool found = false;
    TRY(q_account_by_id(tx, mem, &in, &row, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "there is no such member");
    *out = ACCOUNT_OF(row);
    return OK;
}

err account_by_email(struct db_tx *tx, struct arena *mem, sv email, struct account *out)
{
    struct account_by_email_key_in in = {.email_key = account_email_key(mem, email)};
    struct account_by_email_key_row row;
    bool found = false;
    TRY(q_account_by_email_key(tx, mem, &in, &row, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "there is no member with this e-mail");
    *out = ACCOUNT_OF(row);
    return OK;
}

err account_by_any_id(struct db_tx *tx, struct arena *mem, sv id, struct account *out)
{
    if (id_valid(id, "usr")) {
        user_id ours = user_id_from(id);
        return account_get(tx, mem, &ours, out);
    }
    struct account_by_legacy_id_in in = {.legacy_id = id};
    struct account_by_legacy_id_row row;
    bool found = false;
    if (id.n > 0)
        TRY(q_account_by_legacy_id(tx, mem, &in, &row, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "there is no such member");
    *out = ACCOUNT_OF(row);
    return OK;
}

err account_list(struct db_tx *tx, struct arena *mem, sv after, int64_t n, struct account **out,
                 size_t *count)
{
    struct account_page_in in = {.after = after.p ? after : SV(""), .n = n};
    struct account_page_row *rows = NULL;
    size_t got = 0;
    TRY(q_account_page(tx, mem, &in, &rows, &got));
    struct account *a = ARENA_ARRAY(mem, struct account, got + 1);
    for (size_t i = 0; i < got; i++)
        a[i] = ACCOUNT_OF(rows[i]);
    *out = a;
    *count = got;
    return OK;
}

err account_create(struct db_tx *tx, struct arena *mem, const struct account_new *n, ts now,
                   user_id *out)
{
    user_id id = user_id_new(now);
    struct account_insert_in in = {
        .id = user_id_sv(&id),
        .email = n->email,
        .email_key = n->email.p ? account_email_key(mem, n->email) : SV_NULL,
        .verified_at = n->verified ? now : TS_NONE,
        .name = n->name,
        .locale = n->locale,
        .timezone = n->timezone,
        .password_hash = n->password_hash,
        .password_at = n->password_hash.p ? now : TS_NONE,
        .admin = n->admin,
        .legacy_id = n->legacy_id,
        .now = now,
    };
    int64_t changed = 0;
    TRY(q_account_insert(tx, mem, &in, &changed));
    if (changed != 1)
        return FAIL_FIELD(ERR_EMAIL_TAKEN, "/email", "There is an account with this e-mail");
    TRY(account_tell_created(tx, mem, &id, n->legacy_id, now));
    *out = id;
    return OK;
}

err account_profile_put(struct db_tx *tx, struct arena *mem, const struct account *a, ts now)
{
    struct account_profile_set_in in = {.id = user_id_sv(&a->id),
                                        .name = a->name,
                                        .locale = a->locale,
                                        .timezone = a->timezone,
                                        .now = now};
    return q_account_profile_set(tx, mem, &in, NULL);
}

err account_admin_set(struct db_tx *tx, struct arena *mem, const user_id *id, bool admin, ts now)
{
    struct account_admin_set_in in = {.id = user_id_sv(id), .admin = admin, .now = now};
    return q_account_admin_set(tx, mem, &in, NULL);
}

err account_password_find(struct db_tx *tx, struct arena *mem, sv email_key, user_id *id, sv *hash,
                          bool *found)
{
    struct account_password_get_in in = {.email_key = email_key};
    struct account_password_get_row row;
    bool got = false;
    TRY(q_account_password_get(tx, mem, &in, &row, &got));
    if (got) {
        *id = user_id_from(row.id);
        *hash = row.password_hash;
    }
    *found = got;
    return OK;
}

err account_password_of(struct db_tx *tx, struct arena *mem, const user_id *id, sv *hash)
{
    struct account_password_by_id_in in = {.id = user_id_sv(id)};
    struct account_password_by_id_row row;
    bool found = false;
    TRY(q_account_password_by_id(tx, mem, &in, &row, &found));
    if (!found)
        return FAIL(ERR_NOT_FOUND, "there is no such member");
    *hash = row.password_hash;
    return OK;
}

err account_password_put(struct db_tx *tx, struct arena *mem, const user_id *id, sv hash, ts now)
{
    struct account_password_set_in in = {.id = user_id_sv(id), .password_hash = hash, .now = now};
    return q_account_password_set(tx, mem, &in, NULL);
}

err account_verified_put(struct db_tx *tx, struct arena *mem, const user_id *id, ts now)
{
    struct account_verify_in in = {.id = user_id_sv(id), .now = now};
    return q_account_verify(tx, mem, &in, NULL);
}

err account_email_put(struct db_tx *tx, struct arena *mem, const user_id *id, sv email, ts now)
{
    struct account_email_set_in in = {.id = user_id_sv(id),
                                      .email = email,
                                      .email_key = account_email_key(mem, email),
                                      .now = now};
    int64_t changed = 0;
    err e = q_account_email_set(tx, mem, &in, &changed);
    if (e == ERR_UNIQUE || (e == OK && changed != 1))
        return FAIL(ERR_EMAIL_TAKEN, "There is another account with this e-mail");
    return e;
}

err account_del(struct db_tx *tx, struct arena *mem, const user_id *id)
{
    struct account_delete_in in = {.id = user_id_sv(id)};
    return q_account_delete(tx, mem, &in, NULL);
}

err account_failure_add(struct db_tx *tx, struct arena *mem, sv email_key, ts now,
                        int64_t *failures)
{
    struct login_failure_add_in in = {.email_key = email_key,
                                      .window_start = account_login_window(now)};
    struct login_failure_add_row row;
    TRY(q_login_failure_add(tx, mem, &in, &row));
    *failures = row.failures;
    return OK;
}

/* No address holds a space. */
static sv guess_key(struct arena *mem, sv email_key)
{
    return arena_printf(mem, "code %.*s", SV_ARG(email_key));
}

err account_guess_add(struct db_tx *tx, struct arena *mem, sv email_key, ts now, int64_t *guesses)
{
    struct login_failure_add_in in = {.email_key = guess_key(mem, email_key),
                                      .window_start = account_guess_day(now)};
    struct login_failure_add_row row;
    TRY(q_login_failure_add(tx, mem, &in, &row));
    *guesses = row.failures;
    return OK;
}

err account_guesses_clear(struct db_tx *tx, struct arena *mem, sv email_key)
{
    return account_failures_clear(tx, mem, guess_key(mem, email_key));
}

err account_identities_end(struct db_tx *tx, struct arena *mem, const user_id *id)
{
    struct account_identities_del_in in = {.account_id = user_id_sv(id)};
    return q_account_identities_del(tx, mem, &in, NULL);
}

err account_failures_clear(struct db_tx *tx, struct arena *mem, sv email_key)
{
    struct login_failure_clear_in in = {.email_key = email_key};
    return q_login_failure_clear(tx, mem, &in, NULL);
}

err account_by_name(struct db_tx *tx, struct arena *mem, sv address_or_id, struct account *out)
{
    bool address = memchr(address_or_id.p, '@', address_or_id.n) != NULL;
    return address ? account_by_email(tx, mem, address_or_id, out)
                   : account_by_any_id(tx, mem, address_or_id, out);
}
