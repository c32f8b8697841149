/* Whose rows commits have changed, so that what readers keep of others' rows (memo.h) outlives a
 * commit.
 *
 * Queries marked `-- kept` read rows of one owner alone; sqlgen knows their tables and the owner's
 * column in each (db_owned). SQLite tells the writer of every row that changes; the owner's bucket
 * gets the number of the commit. Numbers are SQLite's own count of commits in the header of its
 * log. A commit that is not ours (another process has the file open too), or of which we do not
 * know what it changed (scripts, schemas), is nobody's: it touches all.
 *
 * The writer calls touch_begin, touch_end; a reader looks when it has a snapshot whose number it
 * knows. */
#pragma once
#include "db/db_internal.h"

struct touch;
struct touch *touch_new(const uint32_t *count); /* sq_change_count; NULL: everything touches all */
void touch_free(struct touch *t);

/* The bucket of an owner. */
uint32_t touch_bucket(sv owner);

/* -------- the writer, which holds the database's lock from the one to the other -------- */
void touch_begin(struct touch *t);
/* A row of this owner changes in the transaction that was begun. */
void touch_row(struct touch *t, sv owner);
/* It was committed. `wrote`: it went into the log (sq_logged), and all rows it changed were told.
 * `unknown`: nobody knows what it changed. */
void touch_end(struct touch *t, bool wrote, bool unknown);

/* From now on SQLite tells of each row that changes through this connection, which must end before
 * t. */
struct sqlite3;
void touch_listen(struct touch *t, struct sqlite3 *h);

/* -------- readers -------- */
/* The number of the last commit that is accounted for. One smaller that is the newest later on
 * was counted anew (sq_commit): until the writer notices, nothing is known. */
uint32_t touch_last(const struct touch *t);
/* A number that changes with each commit that touches all: what was kept before is lost. */
unsigned touch_generation(const struct touch *t);
/* True: every commit up to this one (sq_commit) is accounted for in the buckets, and the generation
 * is still that of before its snapshot. Else rows of an old snapshot would be kept as of the new
 * generation. */
bool touch_accounted(const struct touch *t, uint64_t commit, unsigned generation);
/* Has a commit after `count` touched the bucket? Yes also if it is another generation by now, whose
 * counts may be others. */
bool touch_since(const struct touch *t, uint32_t bucket, uint32_t count, unsigned generation);
