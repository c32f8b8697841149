#include "page/page.h"
#include "page_files.h"

#include <assert.h>

static err serve(struct req *r, const char *name, const char *type)
{
    for (unsigned i = 0; i < page_files_n; i++)
        if (strcmp(page_files[i].name, name) == 0)
            return reply_static(r, type, page_files[i].body, page_files[i].etag);
    assert(false && "a page that was not embedded");
    return ERR_INTERNAL;
}

/* GET / */
static err page_home(struct req *r)
{
    return serve(r, "index.html", "text/html; charset=utf-8");
}

/* GET /page.js */
static err page_script(struct req *r)
{
    return serve(r, "page.js", "text/javascript; charset=utf-8");
}

/* GET /page.css */
static err page_style(struct req *r)
{
    return serve(r, "page.css", "text/css; charset=utf-8");
}

/* GET /icon.svg */
static err page_icon(struct req *r)
{
    return serve(r, "icon.svg", "image/svg+xml");
}

/* GET /openapi.json */
static err page_openapi(struct req *r)
{
    return serve(r, "openapi.json", "application/json");
}

static const struct route routes[] = {
    ROUTE(GET, "/", page_home, .auth = AUTH_NONE, .tx = TX_INLINE),
    ROUTE(GET, "/page.js", page_script, .auth = AUTH_NONE, .tx = TX_INLINE),
    ROUTE(GET, "/page.css", page_style, .auth = AUTH_NONE, .tx = TX_INLINE),
    ROUTE(GET, "/icon.svg", page_icon, .auth = AUTH_NONE, .tx = TX_INLINE),
    ROUTE(GET, "/openapi.json", page_openapi, .auth = AUTH_NONE, .tx = TX_INLINE),
};
const struct route_set page_routes = {routes, sizeof routes / sizeof *routes};
