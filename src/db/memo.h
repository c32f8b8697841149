/* Rows of queries that are asked again and again, and texts made of rows, kept by a reader while
 * they are those of its snapshot.
 *
 * Within one snapshot the same statement with the same parameters has the same rows. So has a later
 * snapshot if no commit in between touched a row of their owner (touch.h), which queries name
 * (`-- kept: owner`, sql/query); they must not depend on the time of day. This is exact: commits of
 * other processes, scripts and changes of the schema touch everything.
 *
 * One thread at a time. Rows are kept when they are asked for the second time: keeping costs more
 * than asking, and what is asked once, because members are many, is seldom asked again before it is
 * gone. What finds no room is not kept; making room for it, by forgetting others that will be asked
 * again, doubled the cost of a read. */
#pragma once
#include "db/db_internal.h"

struct memo;
/* touch: lives longer; NULL: nothing outlives a commit. */
struct memo *memo_new(const struct touch *touch);
void memo_free(struct memo *m);
/* The reader has another snapshot, that of this commit (sq_commit); not `exact`: that is not known
 * for sure, and it does without. generation: touch_generation before it was taken. */
void memo_snapshot(struct memo *m, uint64_t commit, bool exact, unsigned generation);
/* Nothing is known. */
void memo_empty(struct memo *m);
/* The same, and gives the memory back. */
void memo_drop(struct memo *m);
/* A copy of the rows, in `mem`; false: not known. */
bool memo_get(struct memo *m, unsigned stmt, const struct db_val *in, struct arena *mem,
              struct db_rows *out);
void memo_put(struct memo *m, unsigned stmt, const struct db_val *in, const struct db_rows *rows);
/* A text (db.h, db_text_kept), where it lies: valid until something is put, or the memo emptied. */
bool memo_text_get(struct memo *m, sv what, sv owner, ts now, sv *out);
/* Replaces one whose time is over. */
void memo_text_put(struct memo *m, sv what, sv owner, ts from, ts until, sv text);
