#include "base/json.h"
#include "cmd/cmd.h"

#include <stdio.h>

static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
static const char *const auths[] = {"unset", "public", "visitor", "member", "admin", "none"};
static const char *const txs[] = {"read", "write", "none", "health", "inline"};
static const char *const bodies[] = {"none", "json", "raw", "form"};
static const char *const limits[] = {"default", "none", "login", "mail", "money"};

static void write_route(struct jw *w, const struct route *r)
{
    jw_obj(w);
    jw_kstr(w, "method", sv_from(methods[r->method]));
    jw_kstr(w, "path", sv_from(r->path));
    jw_kstr(w, "auth", sv_from(auths[r->auth]));
    jw_kstr(w, "tx", sv_from(txs[r->tx]));
    jw_kstr(w, "body", sv_from(bodies[r->body]));
    jw_kstr(w, "limit", sv_from(limits[r->limit]));
    jw_kstr(w, "handler", sv_from(r->name));
    jw_kbool(w, "lenient", r->lenient);
    jw_kbool(w, "idempotencyKey", r->idempotent_key);
    jw_obj_end(w);
}

static void print_json(const struct route_set *sets, size_t n)
{
    BUF_AUTO out = {0};
    struct jw w = {.out = &out};
    jw_obj(&w);
    jw_key(&w, "routes");
    jw_arr(&w);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sets[i].n; k++)
            write_route(&w, &sets[i].routes[k]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    puts(out.p);
}

/* mybeing routes [--json] */
int cmd_routes(int argc, char **argv)
{
    bool as_json = cmd_flag(&argc, argv, "--json");
    if (cmd_has_more(argc, argv, 0))
        return EXIT_USAGE;
    size_t n = 0;
    const struct route_set *sets = features_routes(&n);
    if (as_json) {
        print_json(sets, n);
        return EXIT_OK;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sets[i].n; k++) {
            const struct route *r = &sets[i].routes[k];
            printf("%-6s %-44s %-7s %-6s %-4s %-7s %s%s\n", methods[r->method], r->path,
                   auths[r->auth], txs[r->tx], bodies[r->body], limits[r->limit], r->name,
                   r->lenient ? " (lenient)" : "");
        }
    }
    return EXIT_OK;
}
