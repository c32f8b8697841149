/* PostgreSQL: by its own programs. The connection's secrets go by the environment: an argument
 * would be seen in `ps`. */
#include "db/backup_inner.h"
#include "db/pq.h"
#include "queries.h"

#include <errno.h>
#include <libpq-fe.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define ENV_MOST 64

struct target {
    char *env[ENV_MOST + 1]; /* NAME=value of the connection */
    size_t n;
    const char *dbname;
};

static err target_of(struct arena *mem, sv url, struct target *out)
{
    struct target t = {.dbname = ""};
    char *why = NULL;
    TRY(pq_load());
    PQconninfoOption *o = PQconninfoParse(arena_cstr(mem, url), &why);
    if (!o) {
        PQfreemem(why);
        return FAIL(ERR_CONFIG, "DATABASE_URL is not a PostgreSQL address");
    }
    for (PQconninfoOption *p = o; p->keyword; p++) {
        if (!p->val)
            continue;
        if (strcmp(p->keyword, "dbname") == 0)
            t.dbname = arena_cstr(mem, sv_from(p->val));
        if (p->envvar && t.n < ENV_MOST)
            t.env[t.n++] = arena_cstr(mem, arena_printf(mem, "%s=%s", p->envvar, p->val));
    }
    PQconninfoFree(o);
    *out = t;
    return OK;
}

/* Our own environment, where the connection's names are its own. */
static char **env_with(struct arena *mem, const struct target *t)
{
    size_t n = 0, k = 0;
    while (environ[n])
        n++;
    char **env = ARENA_ARRAY(mem, char *, n + t->n + 1);
    for (size_t i = 0; i < t->n; i++)
        env[k++] = t->env[i];
    for (size_t i = 0; i < n; i++) {
        bool ours = false;
        for (size_t j = 0; j < t->n && !ours; j++) {
            size_t name = (size_t)(strchr(t->env[j], '=') - t->env[j]) + 1;
            ours = strncmp(environ[i], t->env[j], name) == 0;
        }
        if (!ours)
            env[k++] = environ[i];
    }
    env[k] = NULL;
    return env;
}

static err run(struct arena *mem, const struct target *t, char *const argv[], bool quiet)
{
    pid_t pid;
    int status = 0;
    posix_spawn_file_actions_t fa;
    posix_spawn_file_actions_init(&fa);
    if (quiet)
        posix_spawn_file_actions_addopen(&fa, STDOUT_FILENO, "/dev/null", 1, 0);
    int rc = posix_spawnp(&pid, argv[0], &fa, NULL, argv, env_with(mem, t));
    posix_spawn_file_actions_destroy(&fa);
    if (rc != 0)
        return FAIL(ERR_CONFIG,
                    "%s is needed and cannot be run (%s): install the package postgresql-client of "
                    "the server's version",
                    argv[0], strerror(rc));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return FAIL(ERR_INTERNAL, "waiting for %s: %s", argv[0], strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return OK;
    return FAIL(ERR_DB, "%s failed (what it said stands above)", argv[0]);
}

struct dump {
    const struct target *t;
    const char *to;
    struct backup_facts *out;
};

/* The transaction stays open meanwhile: pg_dump reads its snapshot. */
static err dump_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct dump *d = arg;
    struct backup_snapshot_row snapshot;
    TRY(q_backup_snapshot(tx, mem, &snapshot));
    TRY(backup_facts_tx(tx, mem, d->out));
    char *argv[] = {"pg_dump",
                    "--format=custom",
                    "--no-owner",
                    "--no-privileges",
                    "--no-password",
                    arena_cstr(mem, arena_printf(mem, "--snapshot=%.*s", SV_ARG(snapshot.id))),
                    arena_cstr(mem, arena_printf(mem, "--file=%s", d->to)),
                    NULL};
    return run(mem, d->t, argv, false);
}

err backup_pg_write(struct db *db, struct arena *mem, sv url, const char *to,
                    struct backup_facts *out)
{
    struct target t;
    TRY(target_of(mem, url, &t));
    struct dump d = {&t, to, out};
    TRY(db_read(db, mem, dump_tx, &d));
    TRY(backup_sync(to));
    return backup_pg_verify(mem, to);
}

/* Unpacks the whole file to nowhere: every block's checksum is met. */
err backup_pg_verify(struct arena *mem, const char *file)
{
    struct target none = {0};
    char *argv[] = {"pg_restore", "--file=/dev/null", arena_cstr(mem, sv_from(file)), NULL};
    if (access(file, R_OK) != 0)
        return FAIL(ERR_NOT_FOUND, "%s cannot be read: %s", file, strerror(errno));
    return run(mem, &none, argv, true);
}

err backup_pg_restore(struct arena *mem, sv url, const char *file)
{
    struct target t;
    TRY(target_of(mem, url, &t));
    char *argv[] = {"pg_restore",
                    "--single-transaction",
                    "--clean",
                    "--if-exists",
                    "--exit-on-error",
                    "--no-owner",
                    "--no-privileges",
                    "--no-password",
                    arena_cstr(mem, arena_printf(mem, "--dbname=%s", t.dbname)),
                    arena_cstr(mem, sv_from(file)),
                    NULL};
    return run(mem, &t, argv, false);
}
