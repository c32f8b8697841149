/* Rows of queries that are asked again and again, and texts made of rows, kept as long as a
 * reader's snapshot.
 *
 * Within one snapshot the same statement with the same parameters has the same rows, so what is
 * kept is exact: with other threads, with other processes on the same file, and with whatever
 * writes. reader.c empties the memo with every new snapshot, which is after every commit. Queries
 * say that they are worth it (`-- kept` in sql/query); they must not depend on the time of day.
 *
 * One thread at a time. Rows are kept when they are asked for the second time: keeping costs more
 * than asking, and what is asked once, because commits come quickly or members are many, is never
 * asked again before it is gone. What finds no room is not kept; making room for it, by forgetting
 * others that will be asked again, doubled the cost of a read. */
#pragma once
#include "db/db_internal.h"

struct memo;
struct memo *memo_new(void);
void memo_free(struct memo *m);
/* A new snapshot: nothing is known. */
void memo_empty(struct memo *m);
/* The same, and gives the memory back. */
void memo_drop(struct memo *m);
/* A copy of the rows, in `mem`; false: not known. */
bool memo_get(struct memo *m, unsigned stmt, const struct db_val *in, struct arena *mem,
              struct db_rows *out);
void memo_put(struct memo *m, unsigned stmt, const struct db_val *in, const struct db_rows *rows);
/* A text (db.h, db_text_kept), where it lies: valid until the memo is emptied. */
bool memo_text_get(struct memo *m, sv what, sv key, ts now, sv *out);
/* Replaces one whose time is over. */
void memo_text_put(struct memo *m, sv what, sv key, ts from, ts until, sv text);
