#include "ext/ai_stream.h"
#include "fuzz.h"

/* A stream that comes in pieces says what it says in one: the same text, the same ending. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    sv text = fuzz_text(data, n);
    unsigned way = fuzz_way(&text, 128);
    struct ai_stream whole = {.dialect = way & 1 ? AI_STREAM_OPENAI : AI_STREAM_ANTHROPIC};
    struct ai_stream pieces = {.dialect = whole.dialect};
    size_t piece = way / 2 + 1;
    ai_stream_feed(&whole, text);
    for (size_t at = 0; at < text.n; at += piece)
        ai_stream_feed(&pieces, (sv){text.p + at, text.n - at < piece ? text.n - at : piece});
    PROMISE(sv_eq(buf_sv(&whole.text), buf_sv(&pieces.text)));
    PROMISE(ai_stream_stop(&whole) == ai_stream_stop(&pieces));
    PROMISE(sv_valid_utf8(buf_sv(&whole.text)) && whole.text.n <= AI_TEXT_MAX);
    ai_stream_free(&whole);
    ai_stream_free(&pieces);
    return 0;
}
