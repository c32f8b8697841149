/* In dev the program's clock is kept in the database, so that `mybeing dev clock` moves it for a
 * running server. */
#include "http/inner.h"
#include "queries.h"

static err read_offset(struct db_tx *tx, struct arena *mem, void *arg)
{
    int64_t *out = arg;
    struct clock_offset_get_row row;
    bool found;
    TRY(q_clock_offset_get(tx, mem, &row, &found));
    if (found && !sv_to_i64(row.value, out))
        *out = 0;
    return OK;
}

void http_clock_sync(struct db *db, struct arena *mem)
{
    int64_t offset = 0;
    if (db_read(db, mem, read_offset, &offset) == OK)
        clock_set_offset(offset);
    err_clear();
}
