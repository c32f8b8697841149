/* Checked reading of the catalogue's JSON: every mistake becomes a line with its JSON pointer. */
#pragma once
#include "base/buf.h"
#include "base/json.h"

struct catalog_reader {
    struct arena *mem;
    struct buf *problems;
    sv name; /* of the file */
    unsigned mistakes;
};

/* One member of an object: where to put it and what it may be. */
enum catalog_type { CAT_TEXT, CAT_WORD /* a-z 0-9 - _ */, CAT_INT, CAT_BOOL };
struct catalog_field {
    const char *key;
    enum catalog_type type;
    void *out; /* sv, int64_t or bool; keeps its value when the member is absent */
    bool required;
    bool null_is_unbounded; /* CAT_INT: null means -1, "no bound" */
    int64_t min, max;       /* of an integer, or of a text's characters */
};

void catalog_mistake(struct catalog_reader *rd, sv pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Reads `obj` by the table; unknown members are mistakes unless they are in `also` (NULL-ended). */
void catalog_read(struct catalog_reader *rd, const json *obj, sv pointer,
                  const struct catalog_field *f, size_t n, const char *const *also);
