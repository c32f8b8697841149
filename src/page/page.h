/* Built-in pages and documents: /, its script and style, /openapi.json. */
#pragma once
#include "http/route.h"

extern const struct route_set page_routes;
