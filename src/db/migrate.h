/* Schema versions: sql/schema/NNNN_name.sql, embedded at build, each with an up and a down part,
 * run in a transaction, checksummed in table schema_migration.   SPEC §4. */
#pragma once
#include "base/buf.h"
#include "db/db.h"

struct migration {
    int number;
    const char *name, *up, *down; /* one text for both engines; tokens BLOB/BIGINT are rewritten */
};
extern const struct migration migrations[]; /* made at build */
extern const unsigned migrations_n;

struct migrate_state {
    int number;
    const char *name;
    bool applied, changed /* checksum differs */, unknown /* in the database only */;
    ts at;
};
/* Applies all that are missing; `done` = how many. Concurrent callers wait for each other. */
err migrate_up(struct db *db, unsigned *done) MUST_USE;
err migrate_down(struct db *db, int to, unsigned *done) MUST_USE; /* undoes down to number `to` */
err migrate_status(struct db *db, struct arena *mem, struct migrate_state **out,
                   size_t *n) MUST_USE;
/* Compares the live schema with what the migrations make; each difference a line in words in `out`;
 * *equal = no difference. */
err migrate_check(struct db *db, struct buf *out, bool *equal) MUST_USE;
/* After an older backup was put in place of a newer database: PostgreSQL's program leaves the
 * tables that the backup does not know. Drops those that a migration to come makes; no others. */
err migrate_clear(struct db *db) MUST_USE;
/* Is anything missing? For serve at start and /readyz. */
err migrate_pending(struct db *db, unsigned *pending) MUST_USE;
