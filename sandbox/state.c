/* --state FILE: what the sandbox knows, kept over a restart (objects, what is due, the clock).
 * Faults, idempotency keys and the log of requests are not. */
#include "base/clock.h"
#include "sandbox.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Everything that changes an object sends an event or makes something due; a moved clock
 * does not. */
struct mark {
    uint64_t events, orders, portals;
    int64_t clock;
};

static struct mark mark(void)
{
    return (struct mark){json_array_size(sb_all("event")), sb_timeline_orders(),
                         json_array_size(sb_all("billing_portal.session")), clock_offset()};
}

static struct mark saved;

static bool is_saved(void)
{
    struct mark m = mark();
    return memcmp(&m, &saved, sizeof m) == 0;
}

bool sb_state_save(const char *path)
{
    char temp[1024];
    if (is_saved())
        return true;
    snprintf(temp, sizeof temp, "%s.new", path);
    json_t *all =
        json_pack("{s:i, s:I, s:o, s:O}", "version", 1, "clock", (json_int_t)clock_offset(), "due",
                  sb_timeline_dump(), "objects", sb_store_dump());
    bool ok = json_dump_file(all, temp, JSON_COMPACT) == 0 && rename(temp, path) == 0;
    json_decref(all);
    if (ok)
        saved = mark();
    return ok;
}

const char *sb_state_load(const char *path)
{
    json_error_t e;
    FILE *f = fopen(path, "r");
    if (!f)
        return errno == ENOENT ? NULL : strerror(errno);
    json_t *all = json_loadf(f, 0, &e), *event;
    size_t i;
    fclose(f);
    if (jint(all, "version") != 1 || !jobj(all, "objects")) {
        json_decref(all);
        return "it does not hold the state of a sandbox";
    }
    clock_set_offset(jint(all, "clock"));
    sb_store_load(jobj(all, "objects"));
    sb_timeline_load(jarr(all, "due"));
    json_decref(all);
    saved = mark();
    json_array_foreach(sb_all("event"), i, event) /* what had not arrived */
        if (jint(event, "pending_webhooks") > 0) sb_deliver_event(event);
    return NULL;
}
