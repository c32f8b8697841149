#include "mail/template.h"
#include "fuzz.h"

/* A template of an operator's over names of a stranger's: ends, and escapes in HTML. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    ARENA_AUTO mem = arena_new(0);
    BUF_AUTO out = {0};
    BUF_AUTO missing = {0};
    const json *vars;
    if (json_parse(mem,
                   SV("{\"name\":\"<b>&\\\"'\",\"list\":[{\"a\":{\"b\":1}},2,[]],\"no\":false}"),
                   &vars) != OK)
        abort();
    struct template_ctx c = {.mem = mem,
                             .mode = n % 2 ? TEMPLATE_HTML : TEMPLATE_TEXT,
                             .stack = {vars},
                             .depth = 1,
                             .missing = &missing};
    (void)!template_render(&c, fuzz_text(data, n), &out);
    return 0;
}
