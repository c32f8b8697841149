/* mybeing user …, admin …, key …: people and keys by hand. */
#include "account/account.h"
#include "base/calendar.h"
#include "base/json.h"
#include "cmd/cmd.h"

#include <stdio.h>

/* -------- one member -------- */

struct who {
    sv text;
    struct account account;
    int64_t ended;
    ts now;
};

static err show_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct who *w = arg;
    return account_by_name(tx, mem, w->text, &w->account);
}

static err logout_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct who *w = arg;
    TRY(account_by_name(tx, mem, w->text, &w->account));
    return account_sessions_end(tx, mem, &w->account.id, SV_NULL, &w->ended);
}

static err verify_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct who *w = arg;
    TRY(account_by_name(tx, mem, w->text, &w->account));
    /* The operator's word: sessions and password stay. */
    TRY(account_prove(tx, mem, &w->account.id, SV("operator"), w->now));
    return account_get(tx, mem, &w->account.id, &w->account);
}

static void write_account(struct jw *w, const struct account *a)
{
    jw_obj(w);
    jw_kstr(w, "id", user_id_sv(&a->id));
    jw_kstr(w, "email", a->email);
    jw_kbool(w, "emailVerified", a->verified);
    jw_kbool(w, "admin", a->admin);
    jw_kstr(w, "name", a->name);
    jw_kstr(w, "locale", a->locale);
    jw_kstr(w, "timezone", a->timezone);
    jw_kstr(w, "legacyId", a->legacy_id);
    jw_kts(w, "createdAt", a->created);
    jw_obj_end(w);
}

static void print_account(const struct account *a, bool as_json)
{
    char at[TS_TEXT];
    if (as_json) {
        BUF_AUTO out = {0};
        struct jw w = {.out = &out};
        write_account(&w, a);
        puts(out.p);
        return;
    }
    printf("%s  %-32.*s %-12s %-6s %.*s\n", a->id.s, SV_ARG(a->email),
           a->verified ? "verified" : "not verified", a->admin ? "admin" : "member",
           SV_ARG(ts_text(a->created, at)));
}

/* -------- all of them -------- */

struct listing {
    struct app *app;
    bool as_json;
    struct buf out;
};

struct chunk {
    sv after;
    struct account *a;
    size_t n;
};

static err chunk_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct chunk *c = arg;
    return account_list(tx, mem, c->after, 500, &c->a, &c->n);
}

/* One JSON object a line with --json: it may be long. */
static int list(struct app *app, bool as_json)
{
    char last[ID_MAX] = "";
    for (;;) {
        ARENA_AUTO mem = arena_new(0);
        struct chunk c = {.after = sv_from(last)};
        err e = db_read(app->db, mem, chunk_tx, &c);
        if (e != OK)
            return cmd_failed(e);
        for (size_t i = 0; i < c.n; i++)
            print_account(&c.a[i], as_json);
        if (c.n < 500)
            return EXIT_OK;
        snprintf(last, sizeof last, "%s", c.a[c.n - 1].id.s);
    }
}

static int on_one(struct app *app, int sub, const char *text, bool as_json)
{
    ARENA_AUTO mem = arena_new(0);
    struct who w = {.text = sv_from(text), .now = clock_now()};
    if (text == NULL || text[0] == '\0')
        return cmd_misused("user: an id (usr_…) or an e-mail address is missing");
    err e = sub == 1   ? db_read(app->db, mem, show_tx, &w)
            : sub == 2 ? db_write(app->db, mem, logout_tx, &w)
                       : db_write(app->db, mem, verify_tx, &w);
    if (e != OK)
        return cmd_failed(e);
    if (sub == 2)
        printf("%lld session%s ended\n", (long long)w.ended, w.ended == 1 ? "" : "s");
    else
        print_account(&w.account, as_json);
    return EXIT_OK;
}

/* mybeing user list | show WHO | logout WHO | verify WHO */
int cmd_user(int argc, char **argv)
{
    static const char *const subs[] = {"list", "show", "logout", "verify"};
    bool as_json = cmd_flag(&argc, argv, "--json");
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    int sub = cmd_sub("user", argc > 1 ? argv[1] : NULL, subs, 4);
    if (sub < 0)
        return EXIT_USAGE;
    APP_AUTO app = {0};
    if (!cmd_open(&app, false))
        return EXIT_WRONG;
    return sub == 0 ? list(&app, as_json) : on_one(&app, sub, argc > 2 ? argv[2] : NULL, as_json);
}

/* -------- admins -------- */

struct promotion {
    struct app *app;
    sv email, url;
    bool made, squatted;
    struct account account;
};

static err promote_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct promotion *p = arg;
    ts now = clock_now();
    err e = account_by_email(tx, mem, p->email, &p->account);
    user_id id = p->account.id;
    p->made = e == ERR_NOT_FOUND;
    if (p->made) {
        struct account_new n = {.email = p->email, .verified = true, .admin = true};
        TRY(account_create(tx, mem, &n, now, &id));
    } else {
        TRY(e);
        /* Anybody may have registered with it: what they set up must not become an admin's. */
        p->squatted = !p->account.verified;
        TRY(account_prove(tx, mem, &id, SV_NULL, now));
        TRY(account_admin_set(tx, mem, &id, true, now));
    }
    TRY(account_get(tx, mem, &id, &p->account));
    return account_magic_link(tx, mem, p->app->set.base_url, &p->account, 60, now, &p->url);
}

static err demote_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct promotion *p = arg;
    TRY(account_by_email(tx, mem, p->email, &p->account));
    TRY(account_admin_set(tx, mem, &p->account.id, false, clock_now()));
    return account_get(tx, mem, &p->account.id, &p->account);
}

static int admin_list(struct app *app)
{
    char last[ID_MAX] = "";
    for (;;) {
        ARENA_AUTO mem = arena_new(0);
        struct chunk c = {.after = sv_from(last)};
        err e = db_read(app->db, mem, chunk_tx, &c);
        if (e != OK)
            return cmd_failed(e);
        for (size_t i = 0; i < c.n; i++)
            if (c.a[i].admin)
                print_account(&c.a[i], false);
        if (c.n < 500)
            return EXIT_OK;
        snprintf(last, sizeof last, "%s", c.a[c.n - 1].id.s);
    }
}

/* mybeing admin create E-MAIL | list | remove E-MAIL */
int cmd_admin(int argc, char **argv)
{
    static const char *const subs[] = {"create", "list", "remove"};
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    int sub = cmd_sub("admin", argc > 1 ? argv[1] : NULL, subs, 3);
    if (sub < 0)
        return EXIT_USAGE;
    const char *email = argc > 2 ? argv[2] : NULL;
    if (sub != 1 && (email == NULL || strchr(email, '@') == NULL || email[0] == '@'))
        return cmd_misused("admin %s E-MAIL: whose address?", subs[sub]);
    APP_AUTO app = {0};
    if (!cmd_open(&app, true))
        return EXIT_WRONG;
    if (sub == 1)
        return admin_list(&app);
    ARENA_AUTO mem = arena_new(0);
    struct promotion p = {.app = &app, .email = sv_from(email)};
    err e = db_write(app.db, mem, sub == 0 ? promote_tx : demote_tx, &p);
    if (e != OK)
        return cmd_failed(e);
    if (sub == 0)
        printf("%s %.*s is an administrator%s.\n%sTo sign in within an hour: %.*s\n",
               p.account.id.s, SV_ARG(p.account.email), p.made ? " (a new account)" : "",
               p.squatted
                   ? "The address had not been proved: its password and sessions have ended.\n"
                   : "",
               SV_ARG(p.url));
    else
        printf("%s %.*s is %s\n", p.account.id.s, SV_ARG(p.account.email),
               p.account.admin ? "still an administrator: the address is in ADMIN_EMAILS"
                               : "no administrator any more");
    return EXIT_OK;
}
