/* Rate limits: token buckets in memory, sharded, bounded. SPEC §5. */
#pragma once
#include "http/route.h"

struct limiter;
struct limit_state {
    int64_t limit, window_s; /* the policy */
    int64_t remaining;
    int64_t reset_s; /* until one more is allowed */
    const char *name;
};
/* `scale` multiplies every limit. login_only: only LIMIT_LOGIN limits (dev). */
struct limiter *limiter_new(double scale, bool login_only);
void limiter_free(struct limiter *l);
/* Takes one; false = refused. `key` is who. `now_us` is monotonic. */
bool limiter_take(struct limiter *l, enum route_limit kind, sv key, int64_t now_us,
                  struct limit_state *out);
