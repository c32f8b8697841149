/* mybeing key …: secret keys (mb_sk_…) with which a server acts for members. */
#include "account/account.h"
#include "base/calendar.h"
#include "base/json.h"
#include "cmd/cmd.h"

#include <stdio.h>

struct key_work {
    sv name, id, key;
    struct secret_key *keys;
    size_t n;
    bool revoked;
};

static err create_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct key_work *k = arg;
    return account_key_create(tx, mem, k->name, clock_now(), &k->id, &k->key);
}

static err list_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct key_work *k = arg;
    return account_key_list(tx, mem, &k->keys, &k->n);
}

static err revoke_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct key_work *k = arg;
    return account_key_revoke(tx, mem, k->name, clock_now(), &k->revoked);
}

static int create(struct app *app, struct arena *mem, const char *name, bool as_json)
{
    struct key_work k = {.name = name ? sv_from(name) : SV("server")};
    if (k.name.n == 0 || k.name.n > 100 || sv_has_control(k.name) || !sv_valid_utf8(k.name))
        return cmd_misused("a key's name has 1 to 100 characters");
    err e = db_write(app->db, mem, create_tx, &k);
    if (e != OK)
        return cmd_failed(e);
    if (as_json)
        printf("{\"id\":\"%.*s\",\"key\":\"%.*s\"}\n", SV_ARG(k.id), SV_ARG(k.key));
    else
        printf("%.*s\n%.*s\nIt is shown this once. Use it as `Authorization: Bearer …` with the "
               "header "
               "`MyBeing-User: usr_…`.\n",
               SV_ARG(k.id), SV_ARG(k.key));
    return EXIT_OK;
}

static int list(struct app *app, struct arena *mem, bool as_json)
{
    struct key_work k = {0};
    err e = db_read(app->db, mem, list_tx, &k);
    if (e != OK)
        return cmd_failed(e);
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    char made[TS_TEXT];
    jw_arr(&w);
    for (size_t i = 0; i < k.n; i++) {
        const struct secret_key *s = &k.keys[i];
        jw_obj(&w);
        jw_kstr(&w, "id", s->id);
        jw_kstr(&w, "name", s->name);
        jw_kstr(&w, "hint", s->hint);
        jw_kts(&w, "createdAt", s->created);
        jw_kts(&w, "revokedAt", s->revoked);
        jw_obj_end(&w);
        if (!as_json)
            printf("%.*s  %-20.*s %.*s  %.*s%s\n", SV_ARG(s->id), SV_ARG(s->name), SV_ARG(s->hint),
                   SV_ARG(ts_text(s->created, made)), ts_is_none(s->revoked) ? "" : "  revoked");
    }
    jw_arr_end(&w);
    if (as_json)
        puts(out.p);
    return EXIT_OK;
}

static int revoke(struct app *app, struct arena *mem, const char *id)
{
    struct key_work k = {.name = sv_from(id)};
    if (id == NULL)
        return cmd_misused("key revoke ID: which? (`mybeing key list`)");
    err e = db_write(app->db, mem, revoke_tx, &k);
    if (e != OK)
        return cmd_failed(e);
    puts(k.revoked ? "revoked" : "there is no such key, or it was revoked before");
    return k.revoked ? EXIT_OK : EXIT_WRONG;
}

/* mybeing key create [NAME] | list | revoke ID */
int cmd_key(int argc, char **argv)
{
    static const char *const subs[] = {"create", "list", "revoke"};
    bool as_json = cmd_flag(&argc, argv, "--json");
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    int sub = cmd_sub("key", argc > 1 ? argv[1] : NULL, subs, 3);
    if (sub < 0)
        return EXIT_USAGE;
    APP_AUTO app = {0};
    if (!cmd_open(&app, true))
        return EXIT_WRONG;
    ARENA_AUTO mem = arena_new(0);
    const char *arg = argc > 2 ? argv[2] : NULL;
    return sub == 0   ? create(&app, mem, arg, as_json)
           : sub == 1 ? list(&app, mem, as_json)
                      : revoke(&app, mem, arg);
}
