/* What chat/ answers, what moves with a claim, what runs by itself. */
#include "account/account.h"
#include "chat/chat_api.h"
#include "chat/chat_quota.h"
#include "chat/turn_lost.h"
#include "entitlement/entitlement.h"
#include "queries.h"

static const struct route routes[] = {
    ROUTE(POST, "/api/chat/save", chat_save, .auth = AUTH_VISITOR, .tx = TX_WRITE,
          .body = BODY_JSON, .lenient = true),
    ROUTE(GET, "/api/chat/history", chat_history_get, .auth = AUTH_VISITOR, .tx = TX_READ,
          .lenient = true),
    ROUTE(DELETE, "/api/chat/history", chat_history_delete, .auth = AUTH_VISITOR, .tx = TX_NONE,
          .lenient = true),
    ROUTE(GET, "/api/chat/conversations/{id}/messages", chat_messages_get, .auth = AUTH_VISITOR,
          .tx = TX_READ),
    ROUTE(PATCH, "/api/chat/conversations/{id}", chat_conversation_patch, .auth = AUTH_VISITOR,
          .tx = TX_WRITE, .body = BODY_JSON),
    ROUTE(POST, "/api/chat/conversations", chat_conversation_post, .auth = AUTH_VISITOR,
          .tx = TX_WRITE, .body = BODY_JSON),
    ROUTE(POST, "/api/chat/conversations/{id}/messages", chat_turn_post, .auth = AUTH_VISITOR,
          .tx = TX_NONE, .body = BODY_JSON, .lenient = true),
    ROUTE(GET, "/api/chat/conversations/{id}/messages/{messageId}/stream", chat_turn_resume,
          .auth = AUTH_VISITOR, .tx = TX_NONE),
    ROUTE(POST, "/api/chat/conversations/{id}/messages/{messageId}/stop", chat_turn_stop,
          .auth = AUTH_VISITOR, .tx = TX_NONE, .body = BODY_JSON),
    ROUTE(GET, "/api/chat/search", chat_search, .auth = AUTH_VISITOR, .tx = TX_NONE),
    ROUTE(GET, "/api/chat/export", chat_export, .auth = AUTH_VISITOR, .tx = TX_NONE),
    ROUTE(GET, "/api/admin/ai/usage", chat_usage_get, .auth = AUTH_ADMIN, .tx = TX_READ),
};
const struct route_set chat_routes = {routes, sizeof routes / sizeof *routes};

#define RESCUE_MAX 1000 /* lost answers that one run of the job ends */

#define QUOTA_KEPT_DAYS 7

static err prune(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct job *j = arg;
    ts old = ts_add(j->now, -QUOTA_KEPT_DAYS * TS_DAY);
    TRY(q_chat_quota_prune(tx, mem, &(struct chat_quota_prune_in){.before = old}, NULL));
    TRY(q_chat_period_prune(tx, mem, &(struct chat_period_prune_in){.before = old}, NULL));
    TRY(q_chat_network_prune(tx, mem, &(struct chat_network_prune_in){.before = old}, NULL));
    return q_chat_conversation_prune(tx, mem, &(struct chat_conversation_prune_in){.now = j->now},
                                     NULL);
}

/* Conversations of visitors that nobody claimed (ai/CONTRACT §10), and days that are long over. */
static err run_prune(struct job *j)
{
    return job_finish(j, prune, j);
}

static err rescue(struct db_tx *tx, struct arena *mem, void *arg)
{
    size_t n;
    (void)arg;
    return turn_rescue(tx, mem, RESCUE_MAX, &n);
}

/* Answers whose process died. ai/CONTRACT §5: interrupted, and what came is kept. */
static err run_rescue(struct job *j)
{
    return job_finish(j, rescue, j);
}

static const struct job_kind jobs[] = {
    {.name = "chat.title", .run = chat_title_run, .max_attempts = 3},
    {.name = "chat.rescue", .run = run_rescue, .every = "* * * * *"},
    {.name = "chat.prune", .run = run_prune, .every = "20 3 * * *"},
};
const struct job_kind_set chat_jobs = {jobs, sizeof jobs / sizeof *jobs};

static err claim(struct db_tx *tx, struct arena *mem, const visitor_id *from, const user_id *to,
                 ts now)
{
    TRY(chat_quota_merge(tx, mem, visitor_id_sv(from), user_id_sv(to), now));
    return q_chat_conversation_claim(tx, mem,
                                     &(struct chat_conversation_claim_in){
                                         .visitor = visitor_id_sv(from), .user_id = user_id_sv(to)},
                                     NULL);
}

static err claimable(struct db_tx *tx, struct arena *mem, const visitor_id *from, int64_t *count)
{
    struct chat_conversation_count_row row;
    TRY(q_chat_conversation_count(
        tx, mem, &(struct chat_conversation_count_in){.owner = visitor_id_sv(from)}, &row));
    *count = row.n;
    return OK;
}

/* The "ai" line of the entitlements. */
static err count_ai(struct db_tx *tx, struct arena *mem, const struct app *app,
                    const struct caller *c, ts now, int64_t *used, ts *reset_at)
{
    (void)app;
    bool member = !user_id_none(&c->member);
    struct chat_owner owner = {caller_id(c), member ? user_id_sv(&c->member) : SV_NULL};
    return chat_quota_standing(tx, mem, &owner, now, used, reset_at);
}

void chat_init(void)
{
    entitlement_on_ai(count_ai);
    account_on_claim(claim);
    account_on_claimable("conversations", claimable);
}
