#include "app/audit.h"
#include "base/id.h"
#include "queries.h"

static const char *via_name(enum auth_via via)
{
    static const char *const names[] = {"none", "cookie", "bearer", "secret_key", "jwt"};
    return names[via];
}

err audit_put(struct db_tx *tx, struct arena *mem, const struct req *r, const struct audit_entry *e)
{
    return q_audit_put(tx, mem,
                       &(struct audit_put_in){
                           .id = id_new(mem, "aud", r->now),
                           .at = r->now,
                           .actor = user_id_sv(&r->member),
                           .via = sv_from(via_name(r->via)),
                           .action = sv_from(e->action),
                           .target = e->target,
                           .reason = e->reason,
                           .before = e->before,
                           .after = e->after,
                       },
                       NULL);
}

err audit_reason_read(struct req *r, sv *reason)
{
    const struct field fields[] = {{"reason", FIELD_STR, reason, .min = 1, .max = 500}};
    return query_read(r, FIELDS(fields));
}
