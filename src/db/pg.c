/* PostgreSQL: not yet. */
#include "db/db_internal.h"

#define NOT_YET FAIL(ERR_NOT_CONFIGURED, "PostgreSQL is not supported by this build")

err pg_open(const struct db_options *o, struct db *db)
{
    (void)o, (void)db;
    return NOT_YET;
}

void pg_close(struct pg *pg)
{
    (void)pg;
}

err pg_read(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    (void)db, (void)mem, (void)fn, (void)arg;
    return NOT_YET;
}

err pg_write(struct db *db, struct arena *mem, db_fn fn, void *arg)
{
    (void)db, (void)mem, (void)fn, (void)arg;
    return NOT_YET;
}

err pg_run(struct db_tx *tx, struct arena *mem, const struct db_stmt *s, unsigned id,
           const struct db_val *in, struct db_rows *out)
{
    (void)tx, (void)mem, (void)s, (void)id, (void)in, (void)out;
    return NOT_YET;
}

err pg_script(struct db_tx *tx, const char *sql)
{
    (void)tx, (void)sql;
    return NOT_YET;
}

err pg_attempt(struct db_tx *tx, struct arena *mem, db_fn fn, void *arg)
{
    (void)tx, (void)mem, (void)fn, (void)arg;
    return NOT_YET;
}

err pg_lock(struct db_tx *tx, const sv *keys, size_t n)
{
    (void)tx, (void)keys, (void)n;
    return NOT_YET;
}
