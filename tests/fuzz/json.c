#include "fuzz.h"

static void walk(const json *j, unsigned depth)
{
    PROMISE(j != NULL && depth <= JSON_DEPTH);
    size_t n = 0;
    for (struct json_iter it = json_iter(j); json_next(&it); n++) {
        if (json_kind(j) == JK_OBJ)
            PROMISE(it.key.p[it.key.n] == '\0' && json_get(j, it.key.p) == it.value);
        else
            PROMISE(json_at(j, n) == it.value);
        walk(it.value, depth + 1);
    }
    PROMISE(n == json_len(j));
}

/* What is taken can be walked to its ends, and written it is read as the same again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    ARENA_AUTO mem = arena_new(0);
    const json *j, *again;
    if (json_parse(mem, fuzz_text(data, n), &j) != OK)
        return 0;
    walk(j, 0);
    sv text = json_text(mem, j);
    PROMISE(json_parse(mem, text, &again) == OK);
    PROMISE(sv_eq(json_text(mem, again), text));
    return 0;
}
