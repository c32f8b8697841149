/* One-time links: stored hashed, used by one conditional update. */
#include "account/account_inner.h"
#include "base/crypto.h"
#include "queries.h"

static const char *const kinds[] = {"verify", "magic", "reset", "email"};

static struct digest code_hash(sv code_key, const user_id *of, sv code)
{
    sv parts[] = {user_id_sv(of), SV(" "), code};
    return crypto_hmac(code_key, parts, 3);
}

err token_make(struct db_tx *tx, struct arena *mem, enum token_kind kind, const user_id *of,
               sv email, sv code_key, int64_t life_ms, ts now, struct token_made *out)
{
    struct token_made made = {.id = id_new(mem, "otk", now), .token = crypto_token(mem, "mb_ot_")};
    struct digest hash = crypto_sha256(made.token), code = {0};
    if (kind == TOKEN_MAGIC) {
        made.code = arena_printf(mem, "%06u", crypto_random_below(1000000));
        code = code_hash(code_key, of, made.code);
    }
    struct login_token_insert_in in = {.id = made.id,
                                       .token_hash = digest_sv(&hash),
                                       .code_hash = made.code.p ? digest_sv(&code) : SV_NULL,
                                       .kind = sv_from(kinds[kind]),
                                       .account_id = user_id_sv(of),
                                       .email = email,
                                       .now = now,
                                       .expires_at = ts_add(now, life_ms)};
    TRY(q_login_token_insert(tx, mem, &in, NULL));
    *out = made;
    return OK;
}

err token_count(struct db_tx *tx, struct arena *mem, enum token_kind kind, const user_id *of,
                ts since, int64_t *n)
{
    struct login_token_count_in in = {
        .account_id = user_id_sv(of), .kind = sv_from(kinds[kind]), .since = since};
    struct login_token_count_row row;
    /* Whoever counts goes on to make one: two at once must not both see room for the last. */
    TRY(db_lock1(tx, arena_printf(mem, "letters:%.*s", SV_ARG(in.account_id))));
    TRY(q_login_token_count(tx, mem, &in, &row));
    *n = row.n;
    return OK;
}

static err bad_link(void)
{
    return FAIL(ERR_LINK, "This link is wrong, was used already, or has expired");
}

static bool kind_in(sv name, unsigned mask, enum token_kind *out)
{
    for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (sv_is(name, kinds[k])) {
            *out = (enum token_kind)k;
            return (mask >> k & 1) != 0;
        }
    }
    return false;
}

err token_use(struct db_tx *tx, struct arena *mem, sv token, unsigned mask, ts now,
              struct token_used *out)
{
    struct digest hash = crypto_sha256(token);
    struct login_token_use_in in = {.token_hash = digest_sv(&hash), .now = now};
    struct login_token_use_row row;
    enum token_kind kind;
    bool found = false;
    TRY(q_login_token_use(tx, mem, &in, &row, &found));
    if (!found || !kind_in(row.kind, mask, &kind))
        return bad_link(); /* of another kind: the error undoes its use */
    *out = (struct token_used){kind, user_id_from(row.account_id), row.email};
    return OK;
}

err token_peek(struct db_tx *tx, struct arena *mem, sv token, unsigned mask, ts now,
               struct token_used *out)
{
    struct digest hash = crypto_sha256(token);
    struct login_token_get_in in = {.token_hash = digest_sv(&hash), .now = now};
    struct login_token_get_row row;
    enum token_kind kind;
    bool found = false;
    TRY(q_login_token_get(tx, mem, &in, &row, &found));
    if (!found || !kind_in(row.kind, mask, &kind))
        return bad_link();
    *out = (struct token_used){kind, user_id_from(row.account_id), row.email};
    return OK;
}

err code_try(struct db_tx *tx, struct arena *mem, const user_id *of, sv code, sv code_key, ts now,
             sv *id, bool *good)
{
    struct login_code_try_in in = {
        .account_id = user_id_sv(of), .now = now, .max = CODE_ATTEMPTS_MAX};
    struct login_code_try_row row;
    bool found = false;
    TRY(q_login_code_try(tx, mem, &in, &row, &found));
    struct digest hash = code_hash(code_key, of, code);
    *good = found && row.code_hash.p && crypto_eq(row.code_hash, digest_sv(&hash));
    *id = found ? row.id : SV_NULL;
    return OK;
}

err token_use_id(struct db_tx *tx, struct arena *mem, sv id, ts now, struct token_used *out)
{
    struct login_token_use_id_in in = {.id = id, .now = now};
    struct login_token_use_id_row row;
    enum token_kind kind;
    bool found = false;
    TRY(q_login_token_use_id(tx, mem, &in, &row, &found));
    if (!found || !kind_in(row.kind, 1u << TOKEN_MAGIC, &kind))
        return bad_link();
    *out = (struct token_used){kind, user_id_from(row.account_id), row.email};
    return OK;
}

err tokens_end(struct db_tx *tx, struct arena *mem, enum token_kind kind, const user_id *of, ts now)
{
    struct login_tokens_end_in in = {
        .account_id = user_id_sv(of), .kind = sv_from(kinds[kind]), .now = now};
    return q_login_tokens_end(tx, mem, &in, NULL);
}
