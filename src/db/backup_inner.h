/* Inside backup*.c. */
#pragma once
#include "db/backup.h"

err backup_facts_tx(struct db_tx *tx, struct arena *mem, void *out);
/* fsync of a file, and of the folder that names it. */
err backup_sync(const char *path) MUST_USE;

err backup_sqlite_write(const char *path, const char *to, backup_progress progress) MUST_USE;
err backup_sqlite_verify(struct arena *mem, const char *file, struct backup_facts *out) MUST_USE;
err backup_sqlite_restore(struct arena *mem, const char *path, const char *file,
                          const char *keep) MUST_USE;
err backup_pg_write(struct db *db, struct arena *mem, sv url, const char *to,
                    struct backup_facts *out) MUST_USE;
err backup_pg_verify(struct arena *mem, const char *file) MUST_USE;
err backup_pg_restore(struct arena *mem, sv url, const char *file) MUST_USE;
