/* mybeing dev …: members, states and time for tests and for trying things out. MYBEING_ENV=dev.
 * SPEC §6. */
#include "account/account.h"
#include "app/dev_state.h"
#include "base/crypto.h"
#include "billing/billing.h"
#include "catalog/catalog.h"
#include "cmd/cmd.h"
#include "cmd/dev_clock.h"
#include "http/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* -------- newuser -------- */

struct newuser {
    sv email;
    user_id id;
    struct session_made session;
};

static err newuser_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct newuser *u = arg;
    ts now = clock_now();
    struct account a;
    err e = account_by_email(tx, mem, u->email, &a);
    if (e == OK) {
        u->id = a.id;
    } else if (e == ERR_NOT_FOUND) {
        struct account_new n = {.email = u->email, .verified = true};
        TRY(account_create(tx, mem, &n, now, &u->id));
    } else {
        return e;
    }
    return account_session_open(tx, mem, &u->id, "dev", SV("mybeing dev newuser"), &u->session);
}

static bool is_address(sv s)
{
    const char *at = s.n ? memchr(s.p, '@', s.n) : NULL;
    return at != NULL && at > s.p && at + 1 < s.p + s.n && s.n <= 254 && !sv_has_control(s);
}

static int newuser(struct app *app, struct arena *mem, const char *email)
{
    struct newuser u = {.email = sv_from(email)};
    if (email == NULL) {
        unsigned char b[6];
        crypto_random(b, sizeof b);
        u.email = arena_printf(mem, "user-%.*s@example.com",
                               SV_ARG(crypto_hex(mem, (sv){(const char *)b, sizeof b})));
    }
    if (!is_address(u.email))
        return cmd_misused("\"%s\" is not an e-mail address", email);
    err e = db_write(app->db, mem, newuser_tx, &u);
    if (e != OK)
        return cmd_failed(e);
    bool https = sv_starts(app->set.base_url, SV("https://"));
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_obj(&w);
    jw_kstr(&w, "userId", user_id_sv(&u.id));
    jw_kstr(&w, "email", u.email);
    jw_kstr(
        &w, "cookie",
        arena_printf(mem, "%smb_session=%.*s", https ? "__Host-" : "", SV_ARG(u.session.token)));
    jw_kstr(&w, "token", u.session.token);
    jw_obj_end(&w);
    puts(out.p);
    return EXIT_OK;
}

/* -------- userstate -------- */

struct lookup {
    struct app *app;
    sv who;
    struct account account;
    struct dev_userstate state;
};

static err userstate_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct lookup *l = arg;
    ts now = clock_now();
    if (memchr(l->who.p, '@', l->who.n))
        TRY(account_by_email(tx, mem, l->who, &l->account));
    else
        TRY(account_by_any_id(tx, mem, l->who, &l->account));
    return dev_userstate_get(tx, mem, l->app, &l->account.id, now, &l->state);
}

/* The newest word about an item of the shop, "none" if there is none. */
static const char *item_state(const struct dev_userstate *s, sv item)
{
    for (const struct dev_item *i = s->items; i != NULL; i = i->next)
        if (sv_eq(i->item, item))
            return i->state;
    return "none";
}

/* The shop's own currency, if money of it was paid; else any. */
static const struct dev_money *main_money(const struct app *app, const struct dev_userstate *s)
{
    for (const struct dev_money *m = s->money; app->catalog && m != NULL; m = m->next)
        if (sv_eq_nocase(m->currency, sv_from(app->catalog->plan_currency.code)))
            return m;
    return s->money;
}

/* What was paid in one currency, and apart from it, if there is any, what was paid in others. */
static void write_money(struct jw *w, const struct dev_money *main, const struct dev_userstate *s)
{
    jw_kint(w, "paid_cents", main ? main->paid : 0);
    jw_kint(w, "refunded_cents", main ? main->refunded : 0);
    if (main == NULL || (s->money == main && main->next == NULL))
        return;
    jw_key(w, "other_currencies");
    jw_obj(w);
    for (const struct dev_money *m = s->money; m != NULL; m = m->next) {
        if (m == main)
            continue;
        jw_key_sv(w, m->currency);
        jw_obj(w);
        jw_kint(w, "paid_cents", m->paid);
        jw_kint(w, "refunded_cents", m->refunded);
        jw_obj_end(w);
    }
    jw_obj_end(w);
}

static int userstate(struct app *app, struct arena *mem, const char *who)
{
    struct lookup l = {.app = app, .who = sv_from(who)};
    if (who == NULL || who[0] == '\0')
        return cmd_misused("dev userstate ID: whose?");
    err e = db_read(app->db, mem, userstate_tx, &l);
    if (e != OK)
        return cmd_failed(e);
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_obj(&w);
    jw_kbool(&w, "premium", l.state.premium);
    write_money(&w, main_money(app, &l.state), &l.state);
    jw_key(&w, "items");
    jw_obj(&w);
    for (size_t i = 0; app->catalog && i < app->catalog->nitems; i++) {
        jw_key_sv(&w, app->catalog->items[i].id);
        jw_str(&w, sv_from(item_state(&l.state, app->catalog->items[i].id)));
    }
    for (const struct dev_item *i = l.state.items; i != NULL; i = i->next) {
        bool told = app->catalog && catalog_find(app->catalog, i->item) != NULL;
        for (const struct dev_item *k = l.state.items; k != i; k = k->next)
            told = told || sv_eq(k->item, i->item);
        if (!told) {
            jw_key_sv(&w, i->item);
            jw_str(&w, sv_from(i->state));
        }
    }
    jw_obj_end(&w);
    jw_obj_end(&w);
    puts(out.p);
    return EXIT_OK;
}

/* -------- state -------- */

struct state {
    struct app *app;
    struct buf *out;
};

static sv account_label(const struct account *a)
{
    return a->email.p ? a->email : a->legacy_id.p ? a->legacy_id : SV("(no e-mail)");
}

static err state_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct state *s = arg;
    ts now = clock_now();
    user_id nobody = {0};
    sv after = SV("");
    buf_clear(s->out);
    struct jw w = {.out = s->out};
    jw_obj(&w);
    jw_key(&w, "members");
    jw_obj(&w);
    for (;;) {
        struct account *a;
        size_t n;
        TRY(account_list(tx, mem, after, 200, &a, &n));
        for (size_t i = 0; i < n; i++) {
            jw_key_sv(&w, account_label(&a[i]));
            jw_obj(&w);
            jw_kbool(&w, "verified", a[i].verified);
            jw_kbool(&w, "admin", a[i].admin);
            TRY(dev_state_write(tx, mem, s->app, &a[i].id, now, &w));
            jw_obj_end(&w);
        }
        if (n < 200)
            break;
        after = user_id_sv(&a[n - 1].id);
    }
    jw_obj_end(&w);
    jw_key(&w, "others");
    jw_obj(&w);
    TRY(dev_state_write(tx, mem, s->app, &nobody, now, &w));
    jw_obj_end(&w);
    jw_obj_end(&w);
    return OK;
}

static int by_text(const void *a, const void *b)
{
    return sv_cmp(*(const sv *)a, *(const sv *)b);
}

/* Keys sorted; arrays too, because their order is that of arrival. */
static sv canonical(struct arena *mem, const json *j)
{
    BUF_AUTO b = {0};
    size_t n = json_len(j), i = 0;
    bool obj = json_kind(j) == JK_OBJ;
    if (!obj && json_kind(j) != JK_ARR)
        return json_text(mem, j);
    sv *parts = ARENA_ARRAY(mem, sv, n + 1);
    for (struct json_iter it = json_iter(j); json_next(&it) && i < n; i++) {
        parts[i] = canonical(mem, it.value);
        if (obj) {
            BUF_AUTO key = {0};
            struct jw w = {.out = &key};
            jw_str(&w, it.key);
            parts[i] = arena_printf(mem, "%s:%.*s", key.p, SV_ARG(parts[i]));
        }
    }
    qsort(parts, i, sizeof *parts, by_text);
    buf_char(&b, obj ? '{' : '[');
    for (size_t k = 0; k < i; k++) {
        if (k)
            buf_char(&b, ',');
        buf_add(&b, parts[k]);
    }
    buf_char(&b, obj ? '}' : ']');
    return arena_sv(mem, buf_sv(&b));
}

static int state(struct app *app, struct arena *mem)
{
    BUF_AUTO out = {0};
    struct state s = {app, &out};
    const json *j = NULL;
    err e = db_read(app->db, mem, state_tx, &s);
    if (e == OK)
        e = json_parse(mem, buf_sv(&out), &j);
    if (e != OK)
        return cmd_failed(e);
    sv text = canonical(mem, j);
    printf("%.*s\n", SV_ARG(text));
    return EXIT_OK;
}

/* -------- settle -------- */

static err idle_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    return job_idle(tx, mem, clock_now(), arg);
}

/* Twice idle in a row with the sandbox's deliveries between: what it sends may make work. */
static int settle(struct app *app)
{
    int64_t deadline = clock_mono_us() + 90 * INT64_C(1000000);
    int quiet = 0;
    while (clock_mono_us() < deadline) {
        ARENA_AUTO mem = arena_new(0);
        bool idle = false;
        err e = app_clock_read(app);
        if (e == OK)
            e = db_read(app->db, mem, idle_tx, &idle);
        if (e != OK)
            return cmd_failed(e);
        quiet = idle ? quiet + 1 : 0;
        if (quiet == 3)
            return EXIT_OK;
        if (idle)
            dev_sandbox_settle(app, mem);
        else
            usleep(20000);
    }
    fputs("mybeing: jobs are still due after 90 s. Does a `mybeing serve` (or `work`) run on this "
          "database?\n",
          stderr);
    return EXIT_WRONG;
}

/* mybeing dev newuser [E-MAIL] | userstate ID | state | settle | clock [show|+N UNIT|TIME] */
int cmd_dev(int argc, char **argv)
{
    static const char *const subs[] = {"newuser", "userstate", "state", "settle", "clock"};
    (void)cmd_flag(&argc, argv, "--json"); /* it prints JSON anyway */
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    int sub = cmd_sub("dev", argc > 1 ? argv[1] : NULL, subs, 5);
    if (sub < 0)
        return EXIT_USAGE;
    APP_AUTO app = {0};
    if (!cmd_open(&app, true))
        return EXIT_WRONG;
    if (!app.set.dev)
        return cmd_misused("`dev` is for MYBEING_ENV=dev alone");
    ARENA_AUTO mem = arena_new(0);
    int code;
    http_client_start(true);
    switch (sub) {
    case 0:
        code = newuser(&app, mem, argc > 2 ? argv[2] : NULL);
        break;
    case 1:
        code = userstate(&app, mem, argc > 2 ? argv[2] : NULL);
        break;
    case 2:
        code = state(&app, mem);
        break;
    case 3:
        code = settle(&app);
        break;
    default:
        code = dev_clock(&app, mem, argc - 2, argv + 2);
        break;
    }
    http_client_stop();
    return code;
}
