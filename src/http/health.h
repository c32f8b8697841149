/* /healthz, /readyz, /metrics. */
#pragma once
#include "http/route.h"

extern const struct route_set health_routes;
