/* Settings: from the environment or .env, each X may be X_FILE; validated at start, every mistake
 * reported at once with the nearest known name for a typo. SPEC §6. A new setting = a field here
 * and a line in the table of settings.c. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum email_provider { EMAIL_NONE, EMAIL_CONSOLE, EMAIL_SENDGRID, EMAIL_POSTMARK, EMAIL_SMTP };
enum ai_dialect { AI_OPENAI, AI_ANTHROPIC };

struct settings {
    bool dev; /* MYBEING_ENV=dev */
    sv database_url;
    uint16_t port;     /* 0 = a free one */
    sv bind, base_url; /* base_url without a slash at its end */
    bool base_url_set; /* false: made from the port */
    sv stripe_secret_key, stripe_publishable_key, stripe_api_base, stripe_api_version;
    sv stripe_webhook_secret; /* comma list */
    bool stripe_api_loopback; /* STRIPE_API_BASE is this machine: the sandbox */
    int64_t renewal_grace_hours, past_due_grace_days;
    enum email_provider email_provider, email_fallback_provider;
    sv sendgrid_api_key, sendgrid_api_base, sendgrid_webhook_key;
    sv postmark_server_token, postmark_api_base, postmark_stream, postmark_webhook_secret;
    sv smtp_url, email_from, email_console_dir, email_templates_dir;
    int64_t email_rate_per_minute; /* 0: no limit */
    sv auth_secret; /* AUTH_SECRET: visitors' cookies, unsubscribe tokens; made and kept in the
                       database when it is not set */
    sv auth_jwks_url, auth_issuer, auth_audience;
    sv cors_origins, admin_emails, trusted_proxies, encryption_key, redis_url;
    enum ai_dialect ai_dialect;
    sv ai_base_url, ai_api_key, ai_model;
    int64_t ai_max_tokens;
    bool ai_max_tokens_old; /* the provider only knows the older name of that field */
    int64_t ai_connect_s, ai_first_event_s, ai_silence_s, ai_answer_s;
    int64_t ai_daily_tokens; /* ceiling of one member and day; 0 = none */
    bool ai_free_unit_message;
    sv log_format, log_level, catalog_path;
    double rate_limit_scale; /* RATE_LIMIT_SCALE; 0 = not set */
    int64_t http_loops, http_workers, job_threads;
    sv backup_dir;
    int64_t backup_keep;
    bool migrate;        /* MIGRATE=1: serve brings PostgreSQL's schema up to date by itself */
    bool password_cheap; /* PASSWORD_COST=cheap, dev only */
};
/* Reads environment and ./.env (environment wins). Every mistake becomes a line in `problems`;
 * returns ERR_CONFIG if there was one. Texts live for the process. */
err settings_load(struct settings *out, struct buf *problems) MUST_USE;

/* Is the host of this http(s) URL this machine (localhost, 127.0.0.0/8, ::1)? */
bool url_is_loopback(sv url);
