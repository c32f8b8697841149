#include "cmd/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

#define WIDTH    30
#define EVERY_US 100000

static int64_t last_us;
static int shown;

void progress_show(void *unused, const char *what, int64_t done, int64_t total)
{
    (void)unused;
    int64_t now = clock_mono_us();
    if (!isatty(STDERR_FILENO) || (shown && now - last_us < EVERY_US && done != total))
        return;
    last_us = now;
    shown = 1;
    if (total <= 0) {
        fprintf(stderr, "\r\033[K%lld %s", (long long)done, what);
        return;
    }
    int filled = (int)(done * WIDTH / total);
    fprintf(stderr, "\r\033[K[%.*s%*s] %lld of %lld %s", filled, "##############################",
            WIDTH - filled, "", (long long)done, (long long)total, what);
}

void progress_end(void)
{
    if (shown)
        fputs("\r\033[K", stderr);
    shown = 0;
}
