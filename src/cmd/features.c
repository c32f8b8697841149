/* The program's parts: a line a feature in each list. */
#include "account/account.h"
#include "admin/admin.h"
#include "billing/billing.h"
#include "catalog/catalog.h"
#include "chat/chat.h"
#include "cmd/cmd.h"
#include "entitlement/entitlement.h"
#include "ext/stripe.h"
#include "http/health.h"
#include "mail/mail.h"
#include "notice/notice.h"
#include "page/page.h"
#include "purchase/purchase.h"

#include <assert.h>
#include <stdio.h>

/* More parts are added as lines; the order does not matter. */
/* One a line, so that two people can add one. */
/* clang-format off */
static const struct route_set *const route_sets[] = {
    &account_routes,
    &account_link_routes,
    &account_page_routes,
    &billing_routes,
    &subscription_routes,
    &page_routes,
    &admin_routes,
    &health_routes,
    &job_routes,
    &entitlement_routes,
    &purchase_routes,
    &chat_routes,
    &mail_routes,
};
static const struct job_kind_set *const job_sets[] = {
    &account_jobs,
    &mail_jobs,
    &billing_jobs,
    &subscription_jobs,
    &purchase_jobs,
    &chat_jobs,
};

/* clang-format on */

/* Listeners: what one feature does when another says that something happened. */
static void listen(struct app *app)
{
    mail_init(app);
    account_init(app);
    stripe_configure(&(struct stripe_config){.key = app->set.stripe_secret_key,
                                             .base = app->set.stripe_api_base,
                                             .version = app->set.stripe_api_version});
    billing_init(app);
    subscription_init();
    purchase_init();
    notice_init();
    chat_init();
}

#define NROUTES (sizeof route_sets / sizeof *route_sets)
#define NJOBS   (sizeof job_sets / sizeof *job_sets)

const struct route_set *features_routes(size_t *n)
{
    static struct route_set all[NROUTES];
    for (size_t i = 0; i < NROUTES; i++)
        all[i] = *route_sets[i];
    *n = NROUTES;
    return all;
}

const struct job_kind_set *features_jobs(size_t *n)
{
    static struct job_kind_set all[NJOBS];
    for (size_t i = 0; i < NJOBS; i++)
        all[i] = *job_sets[i];
    *n = NJOBS;
    return all;
}

err features_init(struct app *app)
{
    static struct arena *mem; /* for the process */
    BUF_AUTO problems = {0};
    if (mem == NULL)
        mem = arena_new(0);
    err e = catalog_load(mem, app->set.catalog_path, &problems, &app->catalog);
    if (e != OK) {
        fprintf(stderr, "mybeing: the catalogue is not right:\n");
        for (sv rest = buf_sv(&problems); rest.p != NULL;) {
            sv line = sv_cut(&rest, '\n');
            if (line.n)
                fprintf(stderr, "  %.*s\n", SV_ARG(line));
        }
        return e;
    }
    listen(app);
    return OK;
}
