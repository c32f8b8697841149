/* Copies of the whole database, while it is in use, and back. SPEC §6.
 *
 * SQLite: a file that is a database itself (VACUUM INTO: one snapshot, nothing of what was erased).
 * PostgreSQL: pg_dump's custom format, by the programs of PostgreSQL. */
#pragma once
#include "db/db.h"

typedef void (*backup_progress)(void *arg, const char *what, int64_t done, int64_t total);

struct backup_count {
    sv table;
    int64_t rows;
};
struct backup_facts {
    int64_t schema; /* newest migration */
    const struct backup_count *counts;
    size_t n; /* 0: not to be counted (another schema) */
};

/* Writes the snapshot to `to` (a file that does not exist; mode 0600) and makes it durable. */
err backup_write(struct db *db, struct arena *mem, sv url, const char *to, backup_progress progress,
                 struct backup_facts *out) MUST_USE;
/* Reads the whole file: is it sound? SQLite tells what is in it, PostgreSQL {0}. Changes nothing.
 */
err backup_verify(enum db_engine engine, struct arena *mem, const char *file,
                  struct backup_facts *out) MUST_USE;
/* Puts the file's content in the place of the database `url`, which nobody has open: all or
 * nothing. `keep` (SQLite, may be NULL): where the old database goes. ERR_CONFLICT: it is in use.
 */
err backup_restore(enum db_engine engine, struct arena *mem, sv url, const char *file,
                   const char *keep) MUST_USE;
/* What the open database holds. */
err backup_facts_get(struct db *db, struct arena *mem, struct backup_facts *out) MUST_USE;
/* How many other programs are connected (PostgreSQL; 0 on SQLite). */
err backup_others(struct db *db, struct arena *mem, int64_t *out) MUST_USE;
/* The file behind `url`; NULL for PostgreSQL. In `mem`. */
err backup_sqlite_path(struct arena *mem, sv url, const char **out) MUST_USE;
