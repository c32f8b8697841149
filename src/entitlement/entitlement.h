/* What one may open: free, owned, by allowance, or for money. SPEC §2, §5. (lead's contract;
 * entitlement/ adds to it) */
#pragma once
#include "billing/billing.h"
#include "catalog/catalog.h"
#include "http/route.h"

extern const struct route_set entitlement_routes;
