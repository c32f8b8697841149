/* A line on a terminal that says how far something is; nothing when stderr is not one. */
#pragma once
#include <stdint.h>

void progress_show(void *unused, const char *what, int64_t done, int64_t total);
void progress_end(void);
