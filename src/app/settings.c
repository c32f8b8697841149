#include "app/settings.h"
#include "app/env.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>

enum kind { K_TEXT, K_URL, K_INT, K_REAL, K_BOOL, K_ENUM, K_EMAILS, K_ORIGINS, K_NETS };

struct spec {
    const char *name;
    enum kind kind;
    size_t at;                 /* offset of its field; of an int for K_ENUM */
    const char *fallback;      /* as it would be written; NULL = none */
    int64_t min, max;          /* K_INT; K_TEXT: bytes */
    const char *const *values; /* K_ENUM, NULL-ended */
    const char *prefix;        /* K_TEXT: how each must begin ("sk_|rk_") */
};

/* What needs more than a copy into its field. */
struct raw {
    int env, email_provider, email_fallback, ai_dialect, ai_free_unit, ai_max_field, password_cost,
        log_format, log_level;
    int64_t port;
    bool console_in_production;
};
struct load {
    struct settings set; /* first: the offsets of both are from here */
    struct raw raw;
};

static const char *const envs[] = {"production", "dev", NULL};
static const char *const providers[] = {"none", "console", "sendgrid", "postmark", "smtp", NULL};
static const char *const dialects[] = {"openai", "anthropic", NULL};
static const char *const max_fields[] = {"max_completion_tokens", "max_tokens", NULL};
static const char *const units[] = {"conversation", "message", NULL};
static const char *const costs[] = {"normal", "cheap", NULL};
static const char *const formats[] = {"auto", "text", "json", NULL};
static const char *const levels[] = {"info", "debug", "warn", "error", NULL};

#define S(f) offsetof(struct load, set.f)
#define R(f) offsetof(struct load, raw.f)
static const struct spec specs[] = {
    {"MYBEING_ENV", K_ENUM, R(env), "production", .values = envs},
    {"DATABASE_URL", K_TEXT, S(database_url), "sqlite:mybeing.db",
     .prefix = "sqlite:|file:|postgres://|postgresql://"},
    {"PORT", K_INT, R(port), "3000", 0, 65535},
    {"BIND", K_TEXT, S(bind)},
    {"BASE_URL", K_URL, S(base_url)},
    {"STRIPE_SECRET_KEY", K_TEXT, S(stripe_secret_key), .min = 8, .prefix = "sk_|rk_"},
    {"STRIPE_PUBLISHABLE_KEY", K_TEXT, S(stripe_publishable_key), .prefix = "pk_"},
    {"STRIPE_WEBHOOK_SECRET", K_TEXT, S(stripe_webhook_secret)},
    {"STRIPE_API_BASE", K_URL, S(stripe_api_base), "https://api.stripe.com"},
    {"STRIPE_API_VERSION", K_TEXT, S(stripe_api_version), "2026-10-28.endive", .min = 10,
     .max = 40},
    {"RENEWAL_GRACE_HOURS", K_INT, S(renewal_grace_hours), "72", 0, 24 * 31},
    {"PAST_DUE_GRACE_DAYS", K_INT, S(past_due_grace_days), "14", 0, 90},
    {"EMAIL_PROVIDER", K_ENUM, R(email_provider), NULL, .values = providers},
    {"EMAIL_FALLBACK_PROVIDER", K_ENUM, R(email_fallback), "none", .values = providers},
    {"EMAIL_FROM", K_TEXT, S(email_from), .min = 3, .max = 400},
    {"EMAIL_TEMPLATES_DIR", K_TEXT, S(email_templates_dir)},
    {"EMAIL_RATE_PER_MINUTE", K_INT, S(email_rate_per_minute), "0", 0, 1000000},
    {"EMAIL_CONSOLE_DIR", K_TEXT, S(email_console_dir)},
    {"EMAIL_CONSOLE_IN_PRODUCTION", K_BOOL, R(console_in_production), "0"},
    {"SENDGRID_API_KEY", K_TEXT, S(sendgrid_api_key)},
    {"SENDGRID_API_BASE", K_URL, S(sendgrid_api_base), "https://api.sendgrid.com"},
    {"SENDGRID_WEBHOOK_KEY", K_TEXT, S(sendgrid_webhook_key)},
    {"POSTMARK_SERVER_TOKEN", K_TEXT, S(postmark_server_token)},
    {"POSTMARK_API_BASE", K_URL, S(postmark_api_base), "https://api.postmarkapp.com"},
    {"POSTMARK_STREAM", K_TEXT, S(postmark_stream), "outbound"},
    {"POSTMARK_WEBHOOK_SECRET", K_TEXT, S(postmark_webhook_secret)},
    {"SMTP_URL", K_TEXT, S(smtp_url), .prefix = "smtp://|smtps://"},
    {"AUTH_SECRET", K_TEXT, S(auth_secret), .min = 32},
    {"AUTH_JWKS_URL", K_URL, S(auth_jwks_url)},
    {"AUTH_ISSUER", K_TEXT, S(auth_issuer)},
    {"AUTH_AUDIENCE", K_TEXT, S(auth_audience)},
    {"CORS_ORIGINS", K_ORIGINS, S(cors_origins)},
    {"ADMIN_EMAILS", K_EMAILS, S(admin_emails)},
    {"TRUSTED_PROXIES", K_NETS, S(trusted_proxies)},
    {"ENCRYPTION_KEY", K_TEXT, S(encryption_key), .min = 32},
    {"REDIS_URL", K_TEXT, S(redis_url), .prefix = "redis://|unix:"},
    {"AI_DIALECT", K_ENUM, R(ai_dialect), "openai", .values = dialects},
    {"AI_BASE_URL", K_URL, S(ai_base_url)},
    {"AI_API_KEY", K_TEXT, S(ai_api_key)},
    {"AI_MODEL", K_TEXT, S(ai_model), .max = 200},
    {"AI_MAX_TOKENS", K_INT, S(ai_max_tokens), "1024", 1, 1000000},
    {"AI_MAX_TOKENS_FIELD", K_ENUM, R(ai_max_field), "max_completion_tokens", .values = max_fields},
    {"AI_CONNECT_SECONDS", K_INT, S(ai_connect_s), "5", 1, 300},
    {"AI_FIRST_EVENT_SECONDS", K_INT, S(ai_first_event_s), "30", 1, 3600},
    {"AI_SILENCE_SECONDS", K_INT, S(ai_silence_s), "60", 1, 3600},
    {"AI_ANSWER_SECONDS", K_INT, S(ai_answer_s), "300", 1, 3600},
    {"AI_DAILY_TOKENS", K_INT, S(ai_daily_tokens), "0", 0, 1000000000},
    {"AI_FREE_UNIT", K_ENUM, R(ai_free_unit), "conversation", .values = units},
    {"BACKUP_DIR", K_TEXT, S(backup_dir)},
    {"BACKUP_KEEP", K_INT, S(backup_keep), "7", 1, 10000},
    {"LOG_FORMAT", K_ENUM, R(log_format), "auto", .values = formats},
    {"LOG_LEVEL", K_ENUM, R(log_level), "info", .values = levels},
    {"CATALOG", K_TEXT, S(catalog_path)},
    {"RATE_LIMIT_SCALE", K_REAL, S(rate_limit_scale), "0", 0, 1000000},
    {"HTTP_LOOPS", K_INT, S(http_loops), "0", 0, 256},
    {"HTTP_WORKERS", K_INT, S(http_workers), "0", 0, 1024},
    {"JOB_THREADS", K_INT, S(job_threads), "0", 0, 256},
    {"MIGRATE", K_BOOL, S(migrate), "0"},
    {"PASSWORD_COST", K_ENUM, R(password_cost), "normal", .values = costs},
};
#define NSPECS (sizeof specs / sizeof *specs)

/* A name of the environment is looked at for typos only when it begins like one of ours. */
static const char *const prefixes[] = {
    "STRIPE_",  "EMAIL_",   "SENDGRID_",   "POSTMARK_",   "SMTP_",     "AUTH_", "AI_",
    "MYBEING_", "BACKUP_",  "RENEWAL_",    "PAST_DUE_",   "DATABASE_", "BASE_", "ADMIN_",
    "CORS_",    "TRUSTED_", "ENCRYPTION_", "RATE_LIMIT_", "CATALOG"};

/* -------- hosts and addresses -------- */

static sv url_host(sv url)
{
    const char *p = url.n ? memmem(url.p, url.n, "://", 3) : NULL;
    if (p == NULL)
        return SV_NULL;
    sv rest = {p + 3, url.n - (size_t)(p + 3 - url.p)};
    size_t end = 0;
    while (end < rest.n && strchr("/?#", rest.p[end]) == NULL)
        end++;
    rest.n = end;
    if (rest.n > 0 && rest.p[0] == '[') {
        sv inner = {rest.p + 1, rest.n - 1};
        return sv_cut(&inner, ']');
    }
    return sv_cut(&rest, ':');
}

bool url_is_loopback(sv url)
{
    sv host = url_host(url);
    char text[64];
    unsigned char b[4];
    if (host.n == 0 || host.n >= sizeof text)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    return sv_eq_nocase(host, SV("localhost")) || sv_ends(host, SV(".localhost")) ||
           sv_is(host, "::1") || (inet_pton(AF_INET, text, b) == 1 && b[0] == 127);
}

static bool is_http_url(sv v)
{
    if (!sv_starts(v, SV("https://")) && !sv_starts(v, SV("http://")))
        return false;
    sv host = url_host(v);
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= ' ' || v.p[i] == '"' || v.p[i] == '<' || v.p[i] == '>' || v.p[i] == '@')
            return false;
    return host.n > 0;
}

static bool is_https_or_loopback(sv v)
{
    return sv_starts(v, SV("https://")) || url_is_loopback(v);
}

static bool is_address(struct arena *mem, sv v)
{
    unsigned char b[16];
    const char *s = arena_cstr(mem, v);
    return inet_pton(AF_INET, s, b) == 1 || inet_pton(AF_INET6, s, b) == 1;
}

static bool is_net(struct arena *mem, sv v)
{
    sv rest = v, host = sv_cut(&rest, '/');
    int64_t bits = 0;
    bool v6 = memchr(host.p, ':', host.n) != NULL;
    return is_address(mem, host) &&
           (rest.p == NULL || (sv_to_i64(rest, &bits) && bits >= 0 && bits <= (v6 ? 128 : 32)));
}

static bool is_origin(sv v)
{
    if (!is_http_url(v))
        return false;
    const char *p = memmem(v.p, v.n, "://", 3);
    return memchr(p + 3, '/', v.n - (size_t)(p + 3 - v.p)) == NULL;
}

static bool is_email(sv v)
{
    const char *at = v.n ? memchr(v.p, '@', v.n) : NULL;
    size_t local = at ? (size_t)(at - v.p) : 0;
    return at != NULL && local > 0 && local + 1 < v.n && v.n <= 254 && !sv_has_control(v) &&
           memchr(at + 1, '@', v.n - local - 1) == NULL && memchr(v.p, ' ', v.n) == NULL;
}

/* -------- one value -------- */

static bool has_prefix(sv v, const char *list)
{
    sv rest = sv_from(list);
    while (rest.p != NULL)
        if (sv_starts(v, sv_cut(&rest, '|')))
            return true;
    return false;
}

static void put_text(const struct spec *s, sv v, sv *field, struct buf *problems)
{
    if (s->prefix && !has_prefix(v, s->prefix)) {
        buf_printf(problems, "%s must begin with ", s->name);
        for (sv rest = sv_from(s->prefix); rest.p != NULL;) {
            sv one = sv_cut(&rest, '|');
            buf_printf(problems, "%.*s%s", SV_ARG(one), rest.p ? " or " : "\n");
        }
    } else if (v.n < (size_t)s->min) {
        buf_printf(problems, "%s is too short: at least %d characters\n", s->name, (int)s->min);
    } else if (s->max && v.n > (size_t)s->max) {
        buf_printf(problems, "%s is too long: at most %d characters\n", s->name, (int)s->max);
    } else if (sv_has_control(v) || !sv_valid_utf8(v)) {
        buf_printf(problems, "%s holds a line break or another control character\n", s->name);
    } else {
        *field = v;
    }
}

static void put_url(const struct spec *s, sv v, sv *field, struct buf *problems)
{
    if (!is_http_url(v)) {
        buf_printf(problems, "%s is not an http(s) URL\n", s->name);
        return;
    }
    while (v.n > 0 && v.p[v.n - 1] == '/')
        v.n--;
    *field = v;
}

static void put_int(const struct spec *s, sv v, int64_t *field, struct buf *problems)
{
    int64_t i;
    if (!sv_to_i64(v, &i) || i < s->min || i > s->max)
        buf_printf(problems, "%s must be a whole number from %lld to %lld\n", s->name,
                   (long long)s->min, (long long)s->max);
    else
        *field = i;
}

static void put_real(const struct spec *s, sv v, double *field, struct buf *problems)
{
    char *end = NULL;
    double d = strtod(v.p, &end); /* values are NUL-terminated copies */
    if (end != v.p + v.n || !isfinite(d) || d < (double)s->min || d > (double)s->max)
        buf_printf(problems, "%s must be a number from %lld to %lld\n", s->name, (long long)s->min,
                   (long long)s->max);
    else
        *field = d;
}

static void put_bool(const struct spec *s, sv v, bool *field, struct buf *problems)
{
    if (sv_is(v, "1") || sv_eq_nocase(v, SV("true")) || sv_eq_nocase(v, SV("yes")))
        *field = true;
    else if (sv_is(v, "0") || sv_eq_nocase(v, SV("false")) || sv_eq_nocase(v, SV("no")))
        *field = false;
    else
        buf_printf(problems, "%s must be 1 or 0\n", s->name);
}

static void put_enum(const struct spec *s, sv v, int *field, struct buf *problems)
{
    for (int i = 0; s->values[i] != NULL; i++) {
        if (sv_is(v, s->values[i])) {
            *field = i;
            return;
        }
    }
    buf_printf(problems, "%s must be one of", s->name);
    for (int i = 0; s->values[i] != NULL; i++)
        buf_printf(problems, "%s %s", i ? "," : "", s->values[i]);
    buf_add(problems, SV("\n"));
}

static void put_list(struct arena *mem, const struct spec *s, sv v, sv *field, struct buf *problems)
{
    for (sv rest = v; rest.p != NULL;) {
        sv one = sv_trim(sv_cut(&rest, ','));
        if (one.n == 0)
            continue;
        bool good = s->kind == K_EMAILS    ? is_email(one)
                    : s->kind == K_ORIGINS ? is_origin(one)
                                           : is_net(mem, one);
        const char *what = s->kind == K_EMAILS    ? "an e-mail address"
                           : s->kind == K_ORIGINS ? "an origin like https://app.example.com"
                                                  : "an address or a network like 10.0.0.0/8";
        if (!good)
            buf_printf(problems, "%s: \"%.*s\" is not %s\n", s->name, SV_ARG(one), what);
    }
    *field = v;
}

static void put(struct arena *mem, const struct spec *s, sv v, struct load *l, struct buf *problems)
{
    char *at = (char *)l + s->at;
    v = arena_sv(mem, sv_trim(v));
    switch (s->kind) {
    case K_TEXT:
        put_text(s, v, (sv *)(void *)at, problems);
        break;
    case K_URL:
        put_url(s, v, (sv *)(void *)at, problems);
        break;
    case K_INT:
        put_int(s, v, (int64_t *)(void *)at, problems);
        break;
    case K_REAL:
        put_real(s, v, (double *)(void *)at, problems);
        break;
    case K_BOOL:
        put_bool(s, v, (bool *)(void *)at, problems);
        break;
    case K_ENUM:
        put_enum(s, v, (int *)(void *)at, problems);
        break;
    case K_EMAILS:
    case K_ORIGINS:
    case K_NETS:
        put_list(mem, s, v, (sv *)(void *)at, problems);
        break;
    }
}

/* -------- typos -------- */

static bool known(sv name)
{
    if (sv_ends(name, SV("_FILE")))
        name.n -= 5;
    for (size_t i = 0; i < NSPECS; i++)
        if (sv_is(name, specs[i].name))
            return true;
    return false;
}

static bool ours(sv name)
{
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (sv_starts(name, sv_from(prefixes[i])))
            return true;
    return false;
}

static void typos(const struct env_pair *p, size_t n, struct buf *problems)
{
    const char *names[NSPECS];
    for (size_t i = 0; i < NSPECS; i++)
        names[i] = specs[i].name;
    for (size_t i = 0; i < n; i++) {
        /* .env is written for us, so a slip before the prefix's end counts too. */
        if (known(p[i].name) || (p[i].line == 0 && !ours(p[i].name)))
            continue;
        sv name = p[i].name;
        if (sv_ends(name, SV("_FILE")))
            name.n -= 5;
        const char *near = text_nearest(name, names, NSPECS);
        if (near == NULL)
            continue; /* somebody else's */
        if (p[i].line)
            buf_printf(problems, ".env line %d: ", p[i].line);
        buf_printf(problems, "%.*s is not a setting; did you mean %s%s?\n", SV_ARG(p[i].name), near,
                   name.n < p[i].name.n ? "_FILE" : "");
    }
}

/* -------- what must fit together -------- */

static void need(struct buf *problems, sv v, const char *name, const char *because)
{
    if (v.n == 0)
        buf_printf(problems, "%s is not set, but %s\n", name, because);
}

static void check_secure_url(struct buf *problems, const char *name, sv v)
{
    if (v.n && !is_https_or_loopback(v))
        buf_printf(problems, "%s must be https (plain http only to this machine)\n", name);
}

static void check_address(struct arena *mem, struct settings *s, struct buf *problems)
{
    if (s->bind.p == NULL)
        s->bind = s->dev ? SV("127.0.0.1") : SV("0.0.0.0");
    if (sv_is(s->bind, "localhost"))
        s->bind = SV("127.0.0.1");
    if (!is_address(mem, s->bind))
        buf_printf(problems, "BIND must be an IP address, for instance 127.0.0.1 or 0.0.0.0\n");
    s->base_url_set = s->base_url.p != NULL;
    if (s->base_url.p == NULL && s->dev)
        s->base_url = arena_printf(mem, "http://localhost:%u", s->port);
    else if (s->base_url.p == NULL)
        buf_printf(problems, "BASE_URL is not set: the address people reach this server at, for "
                             "instance https://mybeing.example (to try it on this machine: "
                             "MYBEING_ENV=dev)\n");
    else if (!is_origin(s->base_url))
        buf_printf(problems, "BASE_URL must not have a path\n");
    else if (!s->dev && !is_https_or_loopback(s->base_url))
        buf_printf(problems, "BASE_URL must be https in production\n");
}

static void check_stripe(struct settings *s, struct buf *problems)
{
    s->stripe_api_loopback = url_is_loopback(s->stripe_api_base);
    check_secure_url(problems, "STRIPE_API_BASE", s->stripe_api_base);
    for (sv rest = s->stripe_webhook_secret; rest.p != NULL;) {
        sv one = sv_trim(sv_cut(&rest, ','));
        if (!sv_starts(one, SV("whsec_")) || one.n < 12) {
            buf_printf(problems,
                       "STRIPE_WEBHOOK_SECRET must begin with whsec_ (a comma between two while "
                       "rotating)\n");
            break;
        }
    }
    bool live = sv_starts(s->stripe_secret_key, SV("sk_live_")) ||
                sv_starts(s->stripe_secret_key, SV("rk_live_"));
    if (live && s->dev)
        buf_printf(problems,
                   "STRIPE_SECRET_KEY is a live key, but MYBEING_ENV=dev can move the clock and "
                   "make members: use a test key\n");
    bool pk_live = sv_starts(s->stripe_publishable_key, SV("pk_live_"));
    if (s->stripe_secret_key.n && s->stripe_publishable_key.n && live != pk_live)
        buf_printf(problems,
                   "STRIPE_SECRET_KEY and STRIPE_PUBLISHABLE_KEY are of different modes (live "
                   "and test)\n");
}

static void check_provider(struct settings *s, enum email_provider p, struct buf *problems)
{
    if (p == EMAIL_SENDGRID)
        need(problems, s->sendgrid_api_key, "SENDGRID_API_KEY", "mail goes through SendGrid");
    if (p == EMAIL_POSTMARK)
        need(problems, s->postmark_server_token, "POSTMARK_SERVER_TOKEN",
             "mail goes through Postmark");
    if (p == EMAIL_SMTP)
        need(problems, s->smtp_url, "SMTP_URL", "mail goes through SMTP");
}

static bool is_sender(sv v)
{
    const char *open = v.n && v.p[v.n - 1] == '>' ? memchr(v.p, '<', v.n) : NULL;
    if (open != NULL)
        v = (sv){open + 1, v.n - (size_t)(open + 1 - v.p) - 1};
    return is_email(v);
}

static void check_mail(struct load *l, bool given, struct buf *problems)
{
    struct settings *s = &l->set;
    s->email_provider =
        given ? (enum email_provider)l->raw.email_provider : (s->dev ? EMAIL_CONSOLE : EMAIL_NONE);
    s->email_fallback_provider = (enum email_provider)l->raw.email_fallback;
    if (s->email_provider == EMAIL_CONSOLE && !s->dev && !l->raw.console_in_production)
        buf_printf(problems,
                   "EMAIL_PROVIDER=console sends nothing to anybody: choose sendgrid, postmark or "
                   "smtp in production (or EMAIL_CONSOLE_IN_PRODUCTION=1 on purpose)\n");
    check_provider(s, s->email_provider, problems);
    check_provider(s, s->email_fallback_provider, problems);
    if (s->email_fallback_provider != EMAIL_NONE && s->email_fallback_provider == s->email_provider)
        buf_printf(problems, "EMAIL_FALLBACK_PROVIDER is the same as EMAIL_PROVIDER\n");
    check_secure_url(problems, "SENDGRID_API_BASE", s->sendgrid_api_base);
    check_secure_url(problems, "POSTMARK_API_BASE", s->postmark_api_base);
    if (s->email_from.n == 0 && s->email_provider >= EMAIL_SENDGRID)
        buf_printf(problems,
                   "EMAIL_FROM is not set: the sender's address your mail provider has verified\n");
    if (s->email_from.n == 0)
        s->email_from = SV("MyBeing <hello@mybeing.example>");
    else if (!is_sender(s->email_from))
        buf_printf(problems, "EMAIL_FROM must be an address, or Name <address>\n");
}

static void check_rest(struct load *l, struct buf *problems)
{
    struct settings *s = &l->set;
    s->ai_dialect = (enum ai_dialect)l->raw.ai_dialect;
    s->ai_free_unit_message = l->raw.ai_free_unit == 1;
    s->ai_max_tokens_old = l->raw.ai_max_field == 1;
    s->log_format = sv_from(formats[l->raw.log_format]);
    s->log_level = sv_from(levels[l->raw.log_level]);
    s->password_cheap = l->raw.password_cost == 1;
    if (s->password_cheap && !s->dev)
        buf_printf(problems, "PASSWORD_COST=cheap is for MYBEING_ENV=dev only\n");
    check_secure_url(problems, "AI_BASE_URL", s->ai_base_url);
    if (s->auth_jwks_url.n) {
        check_secure_url(problems, "AUTH_JWKS_URL", s->auth_jwks_url);
        need(problems, s->auth_issuer, "AUTH_ISSUER", "AUTH_JWKS_URL is: whose tokens to take");
        need(problems, s->auth_audience, "AUTH_AUDIENCE",
             "AUTH_JWKS_URL is: tokens made for whom to take");
    }
}

/* Texts of settings live for the process; here leak checkers see them. */
static struct arena *volatile kept[8];
static unsigned nkept;

err settings_load(struct settings *out, struct buf *problems)
{
    struct arena *mem = arena_new(16384); /* for the process: never freed */
    struct env env;
    struct load l = {0};
    size_t before = problems->n;
    bool provider_given = false;
    env_read(mem, ".env", problems, &env);
    for (size_t i = 0; i < NSPECS; i++) {
        const struct spec *s = &specs[i];
        sv v = env_get(&env, s->name, problems);
        if (s->at == R(email_provider))
            provider_given = v.p != NULL;
        if (s->fallback)
            put(mem, s, sv_from(s->fallback), &l, problems);
        if (v.p)
            put(mem, s, v, &l, problems);
    }
    typos(env.vars, env.nvars, problems);
    typos(env.file, env.nfile, problems);
    l.set.dev = l.raw.env == 1;
    l.set.port = (uint16_t)l.raw.port;
    check_address(mem, &l.set, problems);
    check_stripe(&l.set, problems);
    check_mail(&l, provider_given, problems);
    check_rest(&l, problems);
    if (problems->n > before) {
        arena_free(mem);
        return FAIL(ERR_CONFIG, "the settings have mistakes");
    }
    kept[nkept++ % 8] = mem;
    *out = l.set;
    return OK;
}
