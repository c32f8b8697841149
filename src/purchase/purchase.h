/* One-time purchases: checkout, discounts, slots held and consumed, status from facts. SPEC §2. (lead's
 * contract; purchase/ adds to it) */
#pragma once
#include "billing/billing.h"
#include "catalog/catalog.h"
#include "http/route.h"

extern const struct route_set purchase_routes;
extern const struct job_kind_set purchase_jobs;
void purchase_init(void); /* registers its listeners (billing facts, claims, verified addresses) */
