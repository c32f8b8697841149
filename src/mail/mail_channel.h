/* The providers in use, from the settings. */
#pragma once
#include "app/settings.h"
#include "ext/mail.h"

#define MAIL_CHANNELS_MAX 2

struct mail_channel {
    const char *name;
    mail_send_fn send;
    struct mail_config config;
    bool repeatable; /* the same message twice does no harm */
    sv fingerprint;  /* of its key and address: a pause holds for these alone */
    const char *accepted, *retried, *paused, *suppressed, *refused, *doubt; /* metric names */
    const char *gauge;
};
/* In order of preference; 0 if there is none. */
size_t mail_channels(struct arena *mem, const struct settings *set,
                     struct mail_channel out[MAIL_CHANNELS_MAX]);
