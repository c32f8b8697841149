#include "db/migrate.h"
#include "base/calendar.h"
#include "base/json.h"
#include "cmd/cmd.h"

#include <stdio.h>

static int up(struct app *app)
{
    unsigned done = 0;
    err e = migrate_up(app->db, &done);
    if (e != OK)
        return cmd_failed(e);
    if (done)
        printf("%u step%s applied\n", done, done == 1 ? "" : "s");
    else
        puts("nothing to do: the schema is up to date");
    return EXIT_OK;
}

static int down(struct app *app, const char *to)
{
    int64_t number;
    unsigned done = 0;
    if (to == NULL || !sv_to_i64(sv_from(to), &number) || number < 0 || number > 9999)
        return cmd_misused(
            "migrate down N: undoes every step after number N (0: all; data are lost)");
    err e = migrate_down(app->db, (int)number, &done);
    if (e != OK)
        return cmd_failed(e);
    printf("%u step%s undone\n", done, done == 1 ? "" : "s");
    return EXIT_OK;
}

static const char *state_word(const struct migrate_state *s)
{
    return s->unknown   ? "unknown to this program"
           : s->changed ? "applied, but its text has changed since"
           : s->applied ? "applied"
                        : "pending";
}

static void status_json(const struct migrate_state *s, size_t n)
{
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_arr(&w);
    for (size_t i = 0; i < n; i++) {
        jw_obj(&w);
        jw_kint(&w, "number", s[i].number);
        jw_kstr(&w, "name", sv_from(s[i].name));
        jw_kbool(&w, "applied", s[i].applied);
        jw_kbool(&w, "changed", s[i].changed);
        jw_kbool(&w, "unknown", s[i].unknown);
        jw_kts(&w, "at", s[i].applied ? s[i].at : TS_NONE);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    puts(out.p);
}

static int status(struct app *app, bool as_json)
{
    ARENA_AUTO mem = arena_new(0);
    struct migrate_state *s = NULL;
    size_t n = 0;
    err e = migrate_status(app->db, mem, &s, &n);
    if (e != OK)
        return cmd_failed(e);
    int code = EXIT_OK;
    for (size_t i = 0; i < n; i++) {
        if (s[i].unknown || s[i].changed || !s[i].applied)
            code = EXIT_WRONG;
        char at[TS_TEXT] = "";
        if (!as_json)
            printf("%04d %-14s %-20s %s\n", s[i].number, s[i].name,
                   s[i].applied ? ts_text(s[i].at, at).p : "", state_word(&s[i]));
    }
    if (as_json)
        status_json(s, n);
    else if (code != EXIT_OK)
        puts("`mybeing migrate up` applies what is pending");
    return code;
}

static void check_json(bool equal, sv differences)
{
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_obj(&w);
    jw_kbool(&w, "asExpected", equal);
    jw_key(&w, "differences");
    jw_arr(&w);
    for (sv rest = equal ? SV_NULL : differences; rest.p != NULL;) {
        sv line = sv_cut(&rest, '\n');
        if (line.n > 0)
            jw_str(&w, line);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    puts(out.p);
}

static int check(struct app *app, bool as_json)
{
    BUF_AUTO out = {0};
    bool equal = false;
    err e = migrate_check(app->db, &out, &equal);
    if (e != OK)
        return cmd_failed(e);
    if (as_json)
        check_json(equal, buf_sv(&out));
    else if (equal)
        puts("the schema is as expected");
    else
        printf("%.*s", SV_ARG(buf_sv(&out)));
    return equal ? EXIT_OK : EXIT_WRONG;
}

/* mybeing migrate [up|down N|status|check] */
int cmd_migrate(int argc, char **argv)
{
    static const char *const subs[] = {"up", "down", "status", "check"};
    bool as_json = cmd_flag(&argc, argv, "--json");
    if (cmd_has_more(argc, argv, 2))
        return EXIT_USAGE;
    int sub = cmd_sub("migrate", argc > 1 ? argv[1] : "up", subs, 4);
    if (sub < 0)
        return EXIT_USAGE;
    APP_AUTO app = {0};
    if (app_open(&app, sub == 0) != OK)
        return EXIT_WRONG;
    switch (sub) {
    case 0:
        return up(&app);
    case 1:
        return down(&app, argc > 2 ? argv[2] : NULL);
    case 2:
        return status(&app, as_json);
    default:
        return check(&app, as_json);
    }
}
