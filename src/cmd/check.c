/* mybeing check: every invariant is a query named check_… in sql/query/; nothing may come back.
 * SPEC §8. */
#include "base/json.h"
#include "catalog/catalog.h"
#include "cmd/cmd.h"
#include "queries.h"

#include <stdio.h>

#define SHOWN 20 /* rows told of a broken invariant */

struct check {
    const struct app *app;
    ts now;
    bool as_json, quiet;
    struct jw *w;
    unsigned run, broken;
};

/* Parameters by name: what the rules take from settings and catalogue. */
static struct db_val parameter(const struct check *c, const char *name)
{
    const struct catalog *cat = c->app->catalog;
    const struct {
        const char *name;
        int64_t value;
    } known[] = {
        {"now", c->now.ms},
        {"quiz_limit", cat->allowance[ITEM_QUIZ].limit},
        {"article_limit", cat->allowance[ITEM_ARTICLE].limit},
        {"quiz_discounts", cat->allowance[ITEM_QUIZ].discount_limit},
        {"ai_free", cat->ai_free_per_day},
        {"renewal_ms", c->app->set.renewal_grace_hours * TS_HOUR},
        {"past_due_ms", c->app->set.past_due_grace_days * TS_DAY},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return (struct db_val){.type = DB_INT, .i = known[i].value};
    return (struct db_val){.type = DB_NULL};
}

static sv text_of(const struct db_val *v)
{
    return v->type == DB_TEXT ? v->s : SV_NULL;
}

static void tell(struct check *c, const char *name, const struct db_rows *rows)
{
    if (c->quiet)
        return;
    if (c->as_json) {
        jw_obj(c->w);
        jw_kstr(c->w, "name", sv_from(name));
        jw_kint(c->w, "rows", (int64_t)rows->n);
        jw_key(c->w, "examples");
        jw_arr(c->w);
        for (size_t i = 0; i < rows->n && i < SHOWN; i++) {
            jw_obj(c->w);
            jw_kstr(c->w, "ref", text_of(&rows->v[i * rows->cols]));
            jw_kstr(c->w, "detail", text_of(&rows->v[i * rows->cols + 1]));
            jw_obj_end(c->w);
        }
        jw_arr_end(c->w);
        jw_obj_end(c->w);
        return;
    }
    printf("%-6s %s", rows->n ? "BROKEN" : "ok", name);
    if (rows->n)
        printf(": %zu", rows->n);
    putchar('\n');
    for (size_t i = 0; i < rows->n && i < SHOWN; i++)
        printf("         %.*s  %.*s\n", SV_ARG(text_of(&rows->v[i * rows->cols])),
               SV_ARG(text_of(&rows->v[i * rows->cols + 1])));
}

static err run_one(struct db_tx *tx, struct arena *mem, struct check *c, unsigned q)
{
    const struct db_stmt *s = &db_stmts[q];
    struct db_val *in = ARENA_ARRAY(mem, struct db_val, s->nparams + 1);
    struct db_rows rows = {0};
    for (unsigned i = 0; i < s->nparams; i++)
        in[i] = parameter(c, s->param_names[i]);
    TRY(db_run(tx, mem, q, in, &rows));
    c->run++;
    c->broken += rows.n > 0;
    tell(c, s->name + strlen("check_"), &rows);
    return OK;
}

static err run_all(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct check *c = arg;
    c->run = c->broken = 0;
    for (unsigned q = 0; q < db_stmts_n; q++)
        if (strncmp(db_stmts[q].name, "check_", 6) == 0)
            TRY(run_one(tx, mem, c, q));
    return OK;
}

err check_run(struct app *app, struct arena *mem, unsigned *run, unsigned *broken)
{
    struct check c = {.app = app, .now = clock_now(), .quiet = true};
    TRY(db_read(app->db, mem, run_all, &c));
    *run = c.run;
    *broken = c.broken;
    return OK;
}

/* mybeing check [--json] */
int cmd_check(int argc, char **argv)
{
    bool as_json = cmd_flag(&argc, argv, "--json");
    if (cmd_has_more(argc, argv, 0))
        return EXIT_USAGE;
    APP_AUTO app = {0};
    if (!cmd_open(&app, false))
        return EXIT_WRONG;
    ARENA_AUTO mem = arena_new(0);
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    struct check c = {.app = &app, .now = clock_now(), .as_json = as_json, .w = &w};
    jw_obj(&w);
    jw_key(&w, "invariants");
    jw_arr(&w);
    err e = db_read(app.db, mem, run_all, &c);
    if (e != OK)
        return cmd_failed(e);
    jw_arr_end(&w);
    jw_kint(&w, "run", c.run);
    jw_kint(&w, "broken", c.broken);
    jw_obj_end(&w);
    if (as_json)
        puts(out.p);
    else if (c.broken)
        printf("%u of %u invariants are broken\n", c.broken, c.run);
    else
        printf("all %u invariants hold\n", c.run);
    return c.broken ? EXIT_WRONG : EXIT_OK;
}
