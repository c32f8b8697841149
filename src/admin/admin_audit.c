#include "admin/admin_inner.h"
#include "queries.h"

err admin_done(struct req *r)
{
    struct jw *w = reply_json(r, 200);
    jw_obj(w);
    jw_kbool(w, "ok", true);
    jw_obj_end(w);
    return OK;
}

/* JSON as it was written, or null. */
static void write_text(struct jw *w, const char *key, sv json_text)
{
    jw_key(w, key);
    if (json_text.p == NULL)
        jw_null(w);
    else
        jw_raw(w, json_text);
}

/* GET /api/admin/audit?limit&cursor */
err admin_audit_list(struct req *r)
{
    struct page page;
    struct audit_list_row *rows;
    size_t n;
    ts at;
    sv id;
    TRY(page_read(r, &page));
    TRY(page_at(r, &page, &at, &id));
    TRY(q_audit_list(r->tx, r->mem,
                     &(struct audit_list_in){.before_at = at, .before_id = id, .n = page.limit + 1},
                     &rows, &n));
    bool more = page_cut(&page, &n);
    struct jw *w = page_begin(r);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_kstr(w, "id", rows[i].id);
        jw_kts(w, "at", rows[i].at);
        jw_kstr(w, "actor", rows[i].actor);
        jw_kstr(w, "via", rows[i].via);
        jw_kstr(w, "action", rows[i].action);
        jw_kstr(w, "target", rows[i].target);
        jw_kstr(w, "reason", rows[i].reason);
        write_text(w, "before", rows[i].before);
        write_text(w, "after", rows[i].after);
        jw_obj_end(w);
    }
    return page_end(r, w, more ? page_at_text(r->mem, rows[n - 1].at, rows[n - 1].id) : SV_NULL);
}
