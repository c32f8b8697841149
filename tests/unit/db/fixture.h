/* A fresh database for a test, on either engine; PostgreSQL when MYBEING_TEST_PG names a cluster.
 */
#pragma once
#include "db/db_internal.h"
#include "db/migrate.h"
#include "queries.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
    char dir[64], url[512], schema[64];
    struct db *db;
    struct arena *mem;
};

__attribute__((unused)) static err run_script(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    return db_script(tx, arg);
}

static inline void fixture_open(struct fixture *f, bool migrate)
{
    struct db_options o = {.url = sv_from(f->url), .create = true};
    unsigned done;
    f->mem = arena_new(0);
    assert_int_equal(db_open(&o, &f->db), OK);
    if (migrate)
        assert_int_equal(migrate_up(f->db, &done), OK);
}

static inline void fixture_sqlite(struct fixture *f)
{
    snprintf(f->dir, sizeof f->dir, "/tmp/mybeing-db-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->url, sizeof f->url, "sqlite:%s/t.db", f->dir);
}

/* On PostgreSQL each test has a schema of its own. */
static inline void admin(const char *verb, const char *name, const char *more)
{
    struct db_options o = {.url = sv_from(getenv("MYBEING_TEST_PG")), .conns = 1};
    struct db *db;
    char sql[128];
    snprintf(sql, sizeof sql, "%s SCHEMA %s%s", verb, name, more);
    assert_int_equal(db_open(&o, &db), OK);
    assert_int_equal(db_write(db, NULL, run_script, sql), OK);
    db_close(db);
}

static inline void fixture_pg(struct fixture *f)
{
    static int count;
    const char *url = getenv("MYBEING_TEST_PG");
    snprintf(f->schema, sizeof f->schema, "u%d_%d", (int)getpid(), ++count);
    admin("CREATE", f->schema, "");
    snprintf(f->url, sizeof f->url, "%s%coptions=-csearch_path%%3D%s", url,
             strchr(url, '?') ? '&' : '?', f->schema);
}

static inline int fixture_make(void **state, bool pg, bool migrate)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (pg)
        fixture_pg(f);
    else
        fixture_sqlite(f);
    fixture_open(f, migrate);
    *state = f;
    return 0;
}

__attribute__((unused)) static int tear_down(void **state)
{
    struct fixture *f = *state;
    char cmd[128];
    db_close(f->db);
    arena_free(f->mem);
    if (f->dir[0]) {
        snprintf(cmd, sizeof cmd, "rm -r %s", f->dir);
        assert_int_equal(system(cmd), 0);
    } else {
        admin("DROP", f->schema, " CASCADE");
    }
    free(f);
    return 0;
}

__attribute__((unused)) static int set_up_sqlite(void **state)
{
    return fixture_make(state, false, true);
}

__attribute__((unused)) static int set_up_pg(void **state)
{
    return fixture_make(state, true, true);
}

__attribute__((unused)) static err put(struct db_tx *tx, const char *name, const char *value)
{
    return q_setting_put(tx, NULL, &(struct setting_put_in){sv_from(name), sv_from(value)}, NULL);
}

struct get {
    const char *name;
    bool found;
    struct setting_get_row row;
};

static err get_fn(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct get *g = arg;
    return q_setting_get(tx, mem, &(struct setting_get_in){sv_from(g->name)}, &g->row, &g->found);
}

__attribute__((unused)) static const char *value_of(struct fixture *f, const char *name)
{
    struct get g = {.name = name};
    assert_int_equal(db_read(f->db, f->mem, get_fn, &g), OK);
    return g.found ? g.row.value.p : NULL;
}

/* The error of a UNIQUE index. */
__attribute__((unused)) static err duplicate(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)arg;
    struct migration_insert_in in = {1, SV("x"), SV("x"), {0}};
    return q_migration_insert(tx, mem, &in, NULL);
}

__attribute__((unused)) static err put_a(struct db_tx *tx, struct arena *mem, void *arg)
{
    (void)mem;
    return put(tx, "a", arg);
}

#define ON_SQLITE(name) cmocka_unit_test_setup_teardown(name, set_up_sqlite, tear_down)
#define ON_PG(name)                                                                                \
    {                                                                                              \
#name " on PostgreSQL", name, set_up_pg, tear_down, NULL                                   \
    }
