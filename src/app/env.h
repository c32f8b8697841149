/* Where settings come from: the environment and ./.env, each X possibly as X_FILE. Knows no setting
 * by name. SPEC §6. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

struct env_pair {
    sv name, value;
    int line; /* of .env; 0 = the environment */
};
struct env {
    struct arena *mem;
    const struct env_pair *vars, *file; /* the environment's, .env's */
    size_t nvars, nfile;
};
/* Reads both; a line that cannot be read becomes a line in `problems`. Texts live in `mem`. */
void env_read(struct arena *mem, const char *path, struct buf *problems, struct env *out);
/* The .env syntax: NAME=value, `export ` before it, # comments, '…' as it is, "…" with \n \t \" \\.
 */
void env_parse(struct arena *mem, sv text, struct buf *problems, struct env *out);
/* Value of X, or the content of the file that X_FILE names (its last line breaks cut); the
 * environment wins over .env; empty counts as not set. SV_NULL if not set or not readable (a
 * problem then). */
sv env_get(const struct env *e, const char *name, struct buf *problems);

/* Edit distance with neighbours swapped counted as one (optimal string alignment). */
size_t text_distance(sv a, sv b);
/* The nearest of `names` within a distance that still looks like a typo of `word`, or NULL. */
const char *text_nearest(sv word, const char *const *names, size_t n);
