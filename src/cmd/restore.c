/* mybeing restore: looked at first, put in place as a whole, looked at again. SPEC §6. */
#include "base/calendar.h"
#include "base/json.h"
#include "cmd/backup.h"
#include "db/migrate.h"

#include <stdio.h>
#include <unistd.h>

struct restore {
    struct arena *mem;
    struct settings *set;
    const char *file, *kept; /* kept: where the old database went; NULL */
    bool force, described;
    enum db_engine engine;
    struct manifest m;
    struct backup_facts found; /* afterwards */
    unsigned run, broken, migrated;
};

/* -------- before -------- */

static err engine_of(const char *file, enum db_engine *out)
{
    char head[16] = "";
    FILE *f = fopen(file, "rb");
    if (!f)
        return FAIL(ERR_NOT_FOUND, "%s cannot be opened", file);
    size_t n = fread(head, 1, sizeof head, f);
    fclose(f);
    if (n == sizeof head && memcmp(head, "SQLite format 3", 16) == 0)
        *out = DB_SQLITE;
    else if (n >= 5 && memcmp(head, "PGDMP", 5) == 0)
        *out = DB_PG;
    else
        return FAIL(ERR_BAD_REQUEST, "%s is not a backup", file);
    return OK;
}

static err compare_description(struct restore *r)
{
    int64_t bytes;
    sv sha256;
    err e = manifest_read(r->mem, r->file, &r->m);
    if (e == ERR_NOT_FOUND) {
        fprintf(stderr,
                "mybeing: %s.json is not there: only the file's own soundness is looked at\n",
                r->file);
        return OK;
    }
    TRY(e);
    r->described = true;
    TRY(file_digest(r->mem, r->file, &bytes, &sha256));
    if (bytes != r->m.bytes || !sv_eq(sha256, r->m.sha256))
        return FAIL(ERR_BAD_REQUEST,
                    "%s is not the file that %s.json describes: it is damaged or "
                    "another one",
                    r->file, r->file);
    return OK;
}

static err look_at_file(struct restore *r)
{
    struct backup_facts f;
    bool pg = sv_starts(r->set->database_url, SV("postgres"));
    TRY(engine_of(r->file, &r->engine));
    if ((r->engine == DB_PG) != pg)
        return FAIL(ERR_BAD_REQUEST, "%s is a backup of %s, but DATABASE_URL names %s", r->file,
                    pg ? "SQLite" : "PostgreSQL", pg ? "PostgreSQL" : "SQLite");
    TRY(compare_description(r));
    TRY(backup_verify(r->engine, r->mem, r->file, &f));
    int64_t schema = r->described ? r->m.facts.schema : f.schema;
    if (schema > migrations[migrations_n - 1].number)
        return FAIL(ERR_BAD_REQUEST, "%s was made by a newer mybeing (schema %lld)", r->file,
                    (long long)schema);
    return OK;
}

static bool any_rows(const struct backup_facts *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->counts[i].rows > 0)
            return true;
    return false;
}

/* The database that stands there: does it hold anything, is anybody else using it? */
static err look_at_place(struct restore *r, bool *holds)
{
    struct db_options o = {.url = r->set->database_url, .conns = 1};
    struct backup_facts f = {0};
    struct migrate_state *s;
    struct db *db;
    size_t n;
    bool applied = false;
    int64_t others = 0;
    TRY(db_open(&o, &db));
    err e = migrate_status(db, r->mem, &s, &n);
    for (size_t i = 0; e == OK && i < n; i++)
        applied = applied || s[i].applied;
    *holds = false;
    if (e == OK && applied)
        *holds = backup_facts_get(db, r->mem, &f) != OK || any_rows(&f);
    if (e == OK)
        e = backup_others(db, r->mem, &others);
    db_close(db);
    TRY(e);
    if (others > 0 && !r->force)
        return FAIL(ERR_CONFLICT,
                    "the database is in use (%lld other connections): stop `mybeing serve` and "
                    "`mybeing work` first, or say --force",
                    (long long)others);
    return OK;
}

static err may_replace(struct restore *r)
{
    const char *path;
    bool holds = false;
    TRY(backup_sqlite_path(r->mem, r->set->database_url, &path));
    if (path && access(path, F_OK) != 0)
        return OK;
    TRY(look_at_place(r, &holds));
    if (!holds)
        return OK;
    if (!r->force)
        return FAIL(ERR_CONFLICT,
                    "the database is not empty: --force puts the backup in its place");
    if (path) {
        char text[TS_TEXT];
        r->kept = arena_cstr(r->mem, arena_printf(r->mem, "%s.before-%.*s", path,
                                                  SV_ARG(ts_text(clock_now(), text))));
    }
    return OK;
}

/* -------- after -------- */

static err same_rows(const struct restore *r)
{
    for (size_t i = 0; i < r->m.facts.n; i++)
        for (size_t k = 0; k < r->found.n; k++)
            if (sv_eq(r->m.facts.counts[i].table, r->found.counts[k].table) &&
                r->m.facts.counts[i].rows != r->found.counts[k].rows)
                return FAIL(ERR_DB, "%.*s holds %lld rows, the backup held %lld",
                            SV_ARG(r->found.counts[k].table), (long long)r->found.counts[k].rows,
                            (long long)r->m.facts.counts[i].rows);
    return OK;
}

static err look_at_result(struct restore *r, struct app *app)
{
    BUF_AUTO differences = {0};
    bool equal;
    TRY(migrate_clear(app->db));
    TRY(migrate_up(app->db, &r->migrated));
    TRY(migrate_check(app->db, &differences, &equal));
    if (!equal)
        return FAIL(ERR_DB, "the restored schema differs: %.*s", SV_ARG(buf_sv(&differences)));
    TRY(backup_facts_get(app->db, r->mem, &r->found));
    TRY(same_rows(r));
    TRY(app_ready(app));
    TRY(features_init(app));
    return check_run(app, r->mem, &r->run, &r->broken);
}

static void say(const struct restore *r, bool as_json)
{
    if (!as_json) {
        printf("restored from %s (schema %lld", r->file, (long long)r->found.schema);
        if (r->migrated)
            printf(", brought up to date by %u step%s", r->migrated, r->migrated == 1 ? "" : "s");
        printf("); %u of %u invariants hold\n", r->run - r->broken, r->run);
        if (r->kept)
            printf("the database that stood there is kept as %s\n", r->kept);
        if (r->broken)
            puts("`mybeing check` shows what is broken");
        return;
    }
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_obj(&w);
    jw_kstr(&w, "file", sv_from(r->file));
    jw_kstr(&w, "kept", r->kept ? sv_from(r->kept) : SV_NULL);
    jw_kint(&w, "schema", r->found.schema);
    jw_kint(&w, "migrated", r->migrated);
    jw_kint(&w, "invariants", r->run);
    jw_kint(&w, "broken", r->broken);
    jw_key(&w, "rows");
    jw_obj(&w);
    for (size_t i = 0; i < r->found.n; i++) {
        jw_key_sv(&w, r->found.counts[i].table);
        jw_int(&w, r->found.counts[i].rows);
    }
    jw_obj_end(&w);
    jw_obj_end(&w);
    puts(out.p);
}

static err replace(struct restore *r)
{
    TRY(look_at_file(r));
    TRY(may_replace(r));
    return backup_restore(r->engine, r->mem, r->set->database_url, r->file, r->kept);
}

/* mybeing restore FILE [--force] [--json] */
int cmd_restore(int argc, char **argv)
{
    bool as_json = cmd_flag(&argc, argv, "--json"), force = cmd_flag(&argc, argv, "--force");
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    if (argc != 2)
        return cmd_misused("restore FILE: which backup?");
    ARENA_AUTO mem = arena_new(0);
    APP_AUTO app = {0};
    if (app_settings(&app) != OK)
        return EXIT_WRONG;
    struct restore r = {.mem = mem, .set = &app.set, .file = argv[1], .force = force};
    err e = replace(&r);
    if (e != OK)
        return cmd_failed(e);
    if (app_open(&app, false) != OK)
        return EXIT_WRONG;
    r.set = &app.set;
    e = look_at_result(&r, &app);
    if (e != OK)
        return cmd_failed(e);
    say(&r, as_json);
    return r.broken ? EXIT_WRONG : EXIT_OK;
}
