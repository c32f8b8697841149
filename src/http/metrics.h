/* Counters and histograms for /metrics (Prometheus text). Thread-safe, lock-free on the hot path.
 */
#pragma once
#include "base/buf.h"

/* A counter or gauge by static name; labels are part of the name:
 * metric_add("mb_webhooks_total{result=\"applied\"}", 1). */
void metric_add(const char *name, int64_t n);
void metric_set(const char *name, int64_t v);
void metric_write(struct buf *out); /* all, sorted, with HELP/TYPE lines */
