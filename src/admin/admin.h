/* Administration: members, money, events, audit. Role admin; every action leaves a row of the audit
 * with who, what, before, after and why. SPEC §5. */
#pragma once
#include "http/route.h"

extern const struct route_set admin_routes;
