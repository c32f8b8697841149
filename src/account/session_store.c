#include "account/account_inner.h"
#include "base/crypto.h"
#include "queries.h"

err account_session_open(struct db_tx *tx, struct arena *mem, const user_id *id, const char *via,
                         sv user_agent, struct session_made *out)
{
    ts wall = clock_wall();
    struct session_made made = {.id = id_new(mem, "ses", wall),
                                .token = crypto_token(mem, "mb_st_"),
                                .expires = ts_add(wall, SESSION_LIFE)};
    struct digest hash = crypto_sha256(made.token);
    if (user_agent.n > 200)
        user_agent.n = 200;
    if (user_agent.p && (!sv_valid_utf8(user_agent) || sv_has_control(user_agent)))
        user_agent = SV_NULL;
    struct session_insert_in in = {.id = made.id,
                                   .token_hash = digest_sv(&hash),
                                   .account_id = user_id_sv(id),
                                   .via = sv_from(via),
                                   .user_agent = user_agent,
                                   .now = wall,
                                   .expires_at = made.expires};
    TRY(q_session_insert(tx, mem, &in, NULL));
    *out = made;
    return OK;
}

err session_find(struct db_tx *tx, struct arena *mem, sv token, ts wall, struct session_owner *out,
                 bool *found)
{
    struct digest hash = crypto_sha256(token);
    struct session_auth_in in = {.token_hash = digest_sv(&hash)};
    struct session_auth_row row;
    bool got = false;
    TRY(q_session_auth(tx, mem, &in, &row, &got));
    got = got && ts_before(wall, row.expires_at);
    if (got)
        *out = (struct session_owner){.id = row.id,
                                      .email = row.email,
                                      .account = user_id_from(row.account_id),
                                      .admin = account_is_admin(row.admin, row.verified, row.email),
                                      .seen = row.last_seen_at};
    *found = got;
    return OK;
}

err session_seen_put(struct db_tx *tx, struct arena *mem, sv id, const user_id *of, ts wall)
{
    struct session_seen_in in = {.id = id, .account_id = user_id_sv(of), .now = wall};
    return q_session_seen(tx, mem, &in, NULL);
}

err session_get(struct db_tx *tx, struct arena *mem, sv id, const user_id *of, struct session *out,
                bool *found)
{
    struct session_get_in in = {.id = id, .account_id = user_id_sv(of)};
    struct session_get_row row;
    bool got = false;
    TRY(q_session_get(tx, mem, &in, &row, &got));
    if (got)
        *out = (struct session){
            .id = row.id, .via = row.via, .created = row.created_at, .expires = row.expires_at};
    *found = got;
    return OK;
}

err session_list(struct db_tx *tx, struct arena *mem, const user_id *of, ts wall, sv before,
                 int64_t n, struct session **out, size_t *count)
{
    /* "ses`" is behind every id of a session: '`' follows '_'. */
    struct session_list_in in = {.account_id = user_id_sv(of),
                                 .now = wall,
                                 .before = before.p ? before : SV("ses`"),
                                 .n = n};
    struct session_list_row *rows = NULL;
    size_t got = 0;
    TRY(q_session_list(tx, mem, &in, &rows, &got));
    struct session *s = ARENA_ARRAY(mem, struct session, got + 1);
    for (size_t i = 0; i < got; i++)
        s[i] = (struct session){.id = rows[i].id,
                                .via = rows[i].via,
                                .user_agent = rows[i].user_agent,
                                .created = rows[i].created_at,
                                .seen = rows[i].last_seen_at,
                                .expires = rows[i].expires_at};
    *out = s;
    *count = got;
    return OK;
}

err session_del(struct db_tx *tx, struct arena *mem, sv id, const user_id *of, bool *gone)
{
    struct session_del_in in = {.id = id, .account_id = user_id_sv(of)};
    int64_t changed = 0;
    TRY(q_session_del(tx, mem, &in, &changed));
    *gone = changed == 1;
    return OK;
}

err account_sessions_end(struct db_tx *tx, struct arena *mem, const user_id *id, sv keep,
                         int64_t *ended)
{
    struct session_del_others_in in = {.account_id = user_id_sv(id),
                                       .keep = keep.p ? keep : SV("")};
    int64_t changed = 0;
    TRY(q_session_del_others(tx, mem, &in, &changed));
    if (ended)
        *ended = changed;
    return OK;
}

err secret_key_find(struct db_tx *tx, struct arena *mem, sv key, bool *found)
{
    struct digest hash = crypto_sha256(key);
    struct secret_key_auth_in in = {.key_hash = digest_sv(&hash)};
    struct secret_key_auth_row row;
    return q_secret_key_auth(tx, mem, &in, &row, found);
}

err account_key_create(struct db_tx *tx, struct arena *mem, sv name, ts now, sv *id, sv *key)
{
    sv made_id = id_new(mem, "key", now), made = crypto_token(mem, "mb_sk_");
    struct digest hash = crypto_sha256(made);
    struct secret_key_insert_in in = {.id = made_id,
                                      .name = name,
                                      .key_hash = digest_sv(&hash),
                                      .hint =
                                          arena_printf(mem, "mb_sk_…%.*s", 4, made.p + made.n - 4),
                                      .now = now};
    TRY(q_secret_key_insert(tx, mem, &in, NULL));
    *id = made_id;
    *key = made;
    return OK;
}

err account_key_list(struct db_tx *tx, struct arena *mem, struct secret_key **out, size_t *n)
{
    struct secret_key_list_row *rows = NULL;
    size_t got = 0;
    TRY(q_secret_key_list(tx, mem, &rows, &got));
    struct secret_key *k = ARENA_ARRAY(mem, struct secret_key, got + 1);
    for (size_t i = 0; i < got; i++)
        k[i] = (struct secret_key){rows[i].id, rows[i].name, rows[i].hint, rows[i].created_at,
                                   rows[i].revoked_at};
    *out = k;
    *n = got;
    return OK;
}

err account_key_revoke(struct db_tx *tx, struct arena *mem, sv id, ts now, bool *revoked)
{
    struct secret_key_revoke_in in = {.id = id, .now = now};
    int64_t changed = 0;
    TRY(q_secret_key_revoke(tx, mem, &in, &changed));
    *revoked = changed == 1;
    return OK;
}

err account_clean(struct db_tx *tx, struct arena *mem, ts now, ts wall)
{
    struct session_del_old_in sessions = {.now = wall};
    struct login_token_del_old_in tokens = {.before = ts_add(now, -TS_DAY)};
    struct login_failure_del_old_in failures = {.before = ts_add(now, -TS_DAY)};
    TRY(q_session_del_old(tx, mem, &sessions, NULL));
    TRY(q_login_token_del_old(tx, mem, &tokens, NULL));
    return q_login_failure_del_old(tx, mem, &failures, NULL);
}
