#include "chat/turn_rules.h"
#include "base/json.h"

#include <stdio.h>

/* An event: id line, then data; the caller writes the members of the object between. */
static struct jw begin(struct buf *out, const struct turn_view *v, int64_t number, const char *type)
{
    struct jw w = {.out = out};
    buf_printf(out, "id: %.*s:%lld\ndata: ", SV_ARG(v->message), (long long)number);
    jw_obj(&w);
    jw_kstr(&w, "type", sv_from(type));
    return w;
}

static void end(struct jw *w)
{
    jw_obj_end(w);
    buf_add(w->out, SV("\n\n"));
}

static void plain(struct buf *out, const struct turn_view *v, int64_t number, const char *type)
{
    struct jw w = begin(out, v, number, type);
    end(&w);
}

static void text_part(struct buf *out, const struct turn_view *v, int64_t number, const char *type)
{
    struct jw w = begin(out, v, number, type);
    jw_kstr(&w, "id", SV("t1"));
    end(&w);
}

/* A part of the message; `key` lets a repeat replace it instead of standing twice. */
static void data_part(struct buf *out, const struct turn_view *v, int64_t number, const char *key,
                      sv data_json)
{
    char type[32];
    snprintf(type, sizeof type, "data-%s", key);
    struct jw w = begin(out, v, number, type);
    jw_kstr(&w, "id", sv_from(key));
    jw_key(&w, "data");
    jw_raw(&w, data_json);
    end(&w);
}

static void notice(struct buf *out, const struct turn_view *v, int64_t number)
{
    BUF_AUTO data = {0};
    struct jw w = {.out = &data};
    jw_obj(&w);
    jw_kstr(&w, "text", v->notice);
    jw_obj_end(&w);
    data_part(out, v, number, "notice", buf_sv(&data));
}

void turn_write_opening(struct buf *out, const struct turn_view *v, int64_t after)
{
    if (after < 1) {
        struct jw w = begin(out, v, 1, "start");
        jw_kstr(&w, "messageId", v->message);
        jw_key(&w, "messageMetadata");
        jw_obj(&w);
        jw_kstr(&w, "conversationId", v->conversation);
        jw_kstr(&w, "parentId", v->parent);
        jw_obj_end(&w);
        end(&w);
    }
    if (after < 2)
        plain(out, v, 2, "start-step");
    if (after < 3 && v->notice.p != NULL)
        notice(out, v, 3);
    if (after < 4 && v->crisis.p != NULL)
        data_part(out, v, 4, "crisis", v->crisis);
    if (after < TURN_TEXT_AT)
        text_part(out, v, TURN_TEXT_AT, "text-start");
}

void turn_write_text(struct buf *out, const struct turn_view *v, sv text, size_t from)
{
    if (from >= text.n)
        return;
    while (from > 0 && ((unsigned char)text.p[from] & 0xc0) == 0x80)
        from--;
    struct jw w = begin(out, v, TURN_TEXT_AT + (int64_t)text.n, "text-delta");
    jw_kstr(&w, "id", SV("t1"));
    jw_kstr(&w, "delta", (sv){text.p + from, text.n - from});
    end(&w);
}

static void quota(struct buf *out, const struct turn_view *v, int64_t number)
{
    struct jw w = begin(out, v, number, "data-quota");
    jw_key(&w, "data");
    jw_obj(&w);
    jw_kint(&w, "remaining", v->remaining);
    jw_kint(&w, "resetSeconds", v->reset_seconds);
    jw_obj_end(&w);
    jw_kbool(&w, "transient", true);
    end(&w);
}

static const char *finish_reason(enum ai_stop stop)
{
    return stop == AI_LENGTH ? "length" : stop == AI_REFUSED ? "content-filter" : "stop";
}

static void last_event(struct buf *out, const struct turn_view *v, int64_t number,
                       enum ai_stop stop)
{
    if (stop == AI_ERROR || stop == AI_INTERRUPTED) {
        struct jw w = begin(out, v, number, "error");
        jw_kstr(&w, "errorText", SV("The assistant stopped early. You can try again."));
        end(&w);
    } else if (stop == AI_CANCELLED) {
        plain(out, v, number, "abort");
    } else {
        struct jw w = begin(out, v, number, "finish");
        jw_kstr(&w, "finishReason", sv_from(finish_reason(stop)));
        end(&w);
    }
}

void turn_write_ending(struct buf *out, const struct turn_view *v, size_t total, enum ai_stop stop,
                       int64_t after)
{
    int64_t t = TURN_TEXT_AT + (int64_t)total;
    bool whole = stop == AI_COMPLETE || stop == AI_LENGTH || stop == AI_REFUSED;
    if (after < t + 1)
        text_part(out, v, t + 1, "text-end");
    if (after < t + 2 && v->remaining >= 0)
        quota(out, v, t + 2);
    if (after < t + 3 && whole)
        plain(out, v, t + 3, "finish-step");
    if (after < t + 4)
        last_event(out, v, t + 4, stop);
    buf_add(out, SV("data: [DONE]\n\n"));
}

bool turn_gives_back(enum ai_stop stop, size_t text)
{
    return (stop == AI_ERROR || stop == AI_INTERRUPTED) && text == 0;
}

int64_t turn_event_number(sv last_event_id, sv message)
{
    int64_t n;
    if (last_event_id.n <= message.n + 1 || !sv_starts(last_event_id, message) ||
        last_event_id.p[message.n] != ':')
        return -1;
    sv digits = {last_event_id.p + message.n + 1, last_event_id.n - message.n - 1};
    return sv_to_i64(digits, &n) && n >= 0 ? n : -1;
}
