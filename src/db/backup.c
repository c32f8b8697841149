/* What both engines share. */
#include "db/backup_inner.h"
#include "db/db_internal.h"
#include "queries.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static err sync_fd(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    int bad = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return bad ? FAIL(ERR_DB, "%s cannot be made durable: %s", path, strerror(bad)) : OK;
}

err backup_sync(const char *path)
{
    ARENA_AUTO mem = arena_new(0);
    TRY(sync_fd(path, O_RDONLY));
    return sync_fd(dirname(arena_cstr(mem, sv_from(path))), O_RDONLY | O_DIRECTORY);
}

err backup_facts_tx(struct db_tx *tx, struct arena *mem, void *out)
{
    struct backup_facts f = {0};
    struct backup_schema_row schema;
    struct backup_counts_row *rows;
    TRY(q_backup_schema(tx, mem, &schema));
    TRY(q_backup_counts(tx, mem, &rows, &f.n));
    struct backup_count *c = ARENA_ARRAY(mem, struct backup_count, f.n + 1);
    for (size_t i = 0; i < f.n; i++)
        c[i] = (struct backup_count){rows[i].name, rows[i].n};
    f.schema = schema.number;
    f.counts = c;
    *(struct backup_facts *)out = f;
    return OK;
}

err backup_facts_get(struct db *db, struct arena *mem, struct backup_facts *out)
{
    return db_read(db, mem, backup_facts_tx, out);
}

static err others_tx(struct db_tx *tx, struct arena *mem, void *out)
{
    struct backup_others_row row;
    TRY(q_backup_others(tx, mem, &row));
    *(int64_t *)out = row.n;
    return OK;
}

err backup_others(struct db *db, struct arena *mem, int64_t *out)
{
    return db_read(db, mem, others_tx, out);
}

err backup_sqlite_path(struct arena *mem, sv url, const char **out)
{
    char *path;
    if (sv_starts(url, SV("postgres://")) || sv_starts(url, SV("postgresql://"))) {
        *out = NULL;
        return OK;
    }
    TRY(sqlite_path(url, &path));
    *out = arena_cstr(mem, sv_from(path));
    free(path);
    return OK;
}

err backup_write(struct db *db, struct arena *mem, sv url, const char *to, backup_progress progress,
                 struct backup_facts *out)
{
    const char *path;
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return FAIL(ERR_DB, "%s cannot be made: %s", to, strerror(errno));
    close(fd);
    TRY(backup_sqlite_path(mem, url, &path));
    if (!path)
        return backup_pg_write(db, mem, url, to, out);
    TRY(backup_sqlite_write(path, to, progress));
    return backup_sqlite_verify(mem, to, out);
}

err backup_verify(enum db_engine engine, struct arena *mem, const char *file,
                  struct backup_facts *out)
{
    *out = (struct backup_facts){0};
    return engine == DB_PG ? backup_pg_verify(mem, file) : backup_sqlite_verify(mem, file, out);
}

err backup_restore(enum db_engine engine, struct arena *mem, sv url, const char *file,
                   const char *keep)
{
    const char *path;
    if (engine == DB_PG)
        return backup_pg_restore(mem, url, file);
    TRY(backup_sqlite_path(mem, url, &path));
    return backup_sqlite_restore(mem, path, file, keep);
}
