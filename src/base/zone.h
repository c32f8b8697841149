/* Days of a time zone, by the C library's own zone data (IANA names). */
#pragma once
#include "base/clock.h"

/* Is there such a zone? "" and SV_NULL are UTC. */
bool zone_valid(sv name);
/* The first moment of the next local day after `now` in the zone (an unknown one: UTC).
 * Thread-safe. */
ts zone_day_end(sv name, ts now);
