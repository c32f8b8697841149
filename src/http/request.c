/* What handlers ask a request. */
#include "http/inner.h"

#include <assert.h>

sv req_header(const struct req *r, const char *name)
{
    const struct pairs *h = &r->conn->heads;
    size_t n = strlen(name);
    for (size_t i = 0; i < h->n; i++)
        if (h->v[i].name.n == n && sv_eq_nocase(h->v[i].name, (sv){name, n}))
            return h->v[i].value;
    return SV_NULL;
}

sv req_query(const struct req *r, const char *name)
{
    const struct pairs *q = &r->conn->query;
    for (size_t i = 0; i < q->n; i++)
        if (sv_is(q->v[i].name, name))
            return q->v[i].value;
    return SV_NULL;
}

sv req_form(const struct req *r, const char *name)
{
    const struct pairs *q = &r->conn->form;
    for (size_t i = 0; i < q->n; i++)
        if (sv_is(q->v[i].name, name))
            return q->v[i].value;
    return SV_NULL;
}

sv req_param(const struct req *r, const char *name)
{
    size_t n = strlen(name);
    unsigned k = 0;
    for (const char *p = r->route->path; (p = strchr(p, '{')) != NULL; k++) {
        const char *end = strchr(++p, '}');
        assert(end != NULL);
        if ((size_t)(end - p) == n && memcmp(p, name, n) == 0) {
            assert(k < r->conn->match.nparams);
            return r->conn->match.params[k];
        }
    }
    assert(false && "the route has no such parameter");
    return SV_NULL;
}
