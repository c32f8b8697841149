/* The log: one line a record to stderr, JSON or text. Only the router, the worker and cmd/ log.
 * Secrets never get here: callers pass ids and codes, not bodies. */
#pragma once
#include "base/sv.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO /* text on a terminal, else JSON */, LOG_TEXT, LOG_JSON };

void log_init(enum log_format format, enum log_level least);
/* `event` is a fixed dotted name ("http.request"); then pairs (const char *key, const char *value),
 * ended by NULL: log_event(LOG_WARN, "db.reconnect", "attempt", "3", NULL). */
void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));
/* A sentence for people, the same sink. */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For lines that are made by the thousand (the access log): the caller writes the line himself. */
bool log_wanted(enum log_level level);
bool log_is_json(void);
void log_raw(sv lines); /* whole lines with their ends, one write */
