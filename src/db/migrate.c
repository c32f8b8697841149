/* Schema versions. Each migration runs in a transaction of its own that first looks whether it is
 * still wanted, so that callers at the same time wait for each other. */
#include "db/migrate.h"
#include "base/crypto.h"
#include "db/db_internal.h"
#include "db/migrate_sql.h"
#include "queries.h"

#include <assert.h>
#include <ctype.h>

static sv checksum(struct arena *mem, const struct migration *m)
{
    sv both = arena_printf(mem, "%s\n-- down\n%s", m->up, m->down);
    struct digest d = crypto_sha256(both);
    return crypto_hex(mem, (sv){(const char *)d.b, 16});
}

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Blank where only the other engine is meant: from its mark to the next. */
static char *without(struct arena *mem, const char *mark, const char *sql)
{
    char *out = arena_cstr(mem, sv_from(sql));
    for (char *at = out; (at = strstr(at, mark));) {
        const char *end = strstr(at + strlen(mark), "/*[");
        memset(at, ' ', end ? (size_t)(end - at) : strlen(at));
    }
    return out;
}

const char *migrate_text(struct arena *mem, enum db_engine engine, const char *sql)
{
    if (engine == DB_PG)
        return without(mem, "/*[sqlite]*/", sql);
    /* The same length: the token is replaced in place. What is quoted stays. */
    char *out = without(mem, "/*[pg]*/", sql);
    char quote = 0, before = ' ';
    for (char *p = out; *p; before = *p++) {
        if (quote) {
            quote = *p == quote ? 0 : quote;
        } else if (*p == '\'' || *p == '"') {
            quote = *p;
        } else if (!word_char(before) && strncasecmp(p, "bytea", 5) == 0 && !word_char(p[5])) {
            memcpy(p, "blob ", 5);
        }
    }
    return out;
}

static const struct migration *known(int64_t number)
{
    for (unsigned i = 0; i < migrations_n; i++)
        if (migrations[i].number == number)
            return &migrations[i];
    return NULL;
}

struct applied {
    struct migration_list_row *rows;
    size_t n;
};

static err read_applied(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct applied *a = arg;
    struct db_table_exists_row exists;
    *a = (struct applied){NULL, 0};
    TRY(q_db_table_exists(tx, mem, &(struct db_table_exists_in){SV("schema_migration")}, &exists));
    return exists.n ? q_migration_list(tx, mem, &a->rows, &a->n) : OK;
}

static const struct migration_list_row *find(const struct applied *a, int number)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->rows[i].number == number)
            return &a->rows[i];
    return NULL;
}

struct step {
    const struct migration *m;
    bool up, done;
};

static err step_run(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct step *s = arg;
    struct applied now;
    s->done = false;
    TRY(db_lock1(tx, SV("migrate")));
    TRY(read_applied(tx, mem, &now));
    if ((find(&now, s->m->number) != NULL) == s->up)
        return OK;
    TRY(db_script(tx, migrate_text(mem, db_tx_engine(tx), s->up ? s->m->up : s->m->down)));
    s->done = true;
    if (s->up)
        return q_migration_insert(tx, mem,
                                  &(struct migration_insert_in){s->m->number, sv_from(s->m->name),
                                                                checksum(mem, s->m), clock_wall()},
                                  NULL);
    struct db_table_exists_row left;
    TRY(q_db_table_exists(tx, mem, &(struct db_table_exists_in){SV("schema_migration")}, &left));
    if (left.n == 0)
        return OK; /* the first one took the table with it */
    return q_migration_delete(tx, mem, &(struct migration_delete_in){s->m->number}, NULL);
}

static err step(struct db *db, const struct migration *m, bool up, unsigned *done)
{
    ARENA_AUTO mem = arena_new(0);
    struct step s = {.m = m, .up = up};
    err e = db_write_schema(db, mem, step_run, &s);
    if (e != OK) {
        struct err_info why = *err_last();
        return FAIL(e, "migration %04d_%s (%s): %s", m->number, m->name, up ? "up" : "down",
                    why.code == e ? why.detail : err_title(e));
    }
    *done += s.done ? 1 : 0;
    return OK;
}

err migrate_up(struct db *db, unsigned *done)
{
    ARENA_AUTO mem = arena_new(0);
    struct applied now;
    unsigned made = 0;
    TRY(db_read(db, mem, read_applied, &now));
    for (size_t i = 0; i < now.n; i++) {
        const struct migration *m = known(now.rows[i].number);
        if (m && !sv_eq(checksum(mem, m), now.rows[i].checksum))
            return FAIL(ERR_CONFIG,
                        "migration %04d_%s was changed after it was applied: put its file back "
                        "and write a new one",
                        m->number, m->name);
    }
    for (unsigned i = 0; i < migrations_n; i++)
        if (!find(&now, migrations[i].number))
            TRY(step(db, &migrations[i], true, &made));
    *done = made;
    return OK;
}

err migrate_down(struct db *db, int to, unsigned *done)
{
    ARENA_AUTO mem = arena_new(0);
    struct applied now;
    unsigned made = 0;
    TRY(db_read(db, mem, read_applied, &now));
    for (size_t i = now.n; i-- > 0 && now.rows[i].number > to;) {
        const struct migration *m = known(now.rows[i].number);
        if (!m)
            return FAIL(ERR_CONFIG, "migration %04d_%.*s is of another version of this program",
                        (int)now.rows[i].number, SV_ARG(now.rows[i].name));
        TRY(step(db, m, false, &made));
    }
    *done = made;
    return OK;
}

err migrate_status(struct db *db, struct arena *mem, struct migrate_state **out, size_t *n)
{
    struct applied now;
    TRY(db_read(db, mem, read_applied, &now));
    struct migrate_state *all = ARENA_ARRAY(mem, struct migrate_state, migrations_n + now.n + 1);
    size_t count = 0;
    for (unsigned i = 0; i < migrations_n; i++) {
        const struct migration_list_row *row = find(&now, migrations[i].number);
        all[count++] = (struct migrate_state){
            .number = migrations[i].number,
            .name = migrations[i].name,
            .applied = row != NULL,
            .changed = row && !sv_eq(row->checksum, checksum(mem, &migrations[i])),
            .at = row ? row->applied_at : TS_NONE};
    }
    for (size_t i = 0; i < now.n; i++)
        if (!known(now.rows[i].number))
            all[count++] = (struct migrate_state){.number = (int)now.rows[i].number,
                                                  .name = arena_cstr(mem, now.rows[i].name),
                                                  .applied = true,
                                                  .unknown = true,
                                                  .at = now.rows[i].applied_at};
    *out = all;
    *n = count;
    return OK;
}

err migrate_pending(struct db *db, unsigned *pending)
{
    ARENA_AUTO mem = arena_new(0);
    struct applied now;
    unsigned missing = 0;
    TRY(db_read_soon(db, mem, read_applied, &now));
    for (unsigned i = 0; i < migrations_n; i++)
        missing += find(&now, migrations[i].number) ? 0 : 1;
    *pending = missing;
    return OK;
}
