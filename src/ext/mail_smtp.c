/* SMTP by libcurl, MIME by libcurl. email/CONTRACT §4, §10. The console writes the same message: it
 * is sent, over a pair of sockets, to a receiver in this process (§5). */
#include "base/calendar.h"
#include "base/json.h"
#include "base/log.h"
#include "ext/mail.h"
#include "http/curl.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_MAX 16

/* -------- kept connections -------- */

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static CURL *kept[KEPT_MAX];
static size_t nkept;

static CURL *handle_get(void)
{
    pthread_mutex_lock(&kept_lock);
    CURL *h = nkept > 0 ? kept[--nkept] : NULL;
    pthread_mutex_unlock(&kept_lock);
    return h ? h : curl_easy_init();
}

static void handle_put(CURL *h, bool keep)
{
    curl_easy_reset(h);
    pthread_mutex_lock(&kept_lock);
    if (keep && nkept < KEPT_MAX) {
        kept[nkept++] = h;
        h = NULL;
    }
    pthread_mutex_unlock(&kept_lock);
    if (h)
        curl_easy_cleanup(h);
}

void mail_smtp_stop(void)
{
    pthread_mutex_lock(&kept_lock);
    while (nkept > 0)
        curl_easy_cleanup(kept[--nkept]);
    pthread_mutex_unlock(&kept_lock);
}

/* -------- the message -------- */

static sv domain_of(sv address)
{
    sv_cut(&address, '@');
    return address;
}

static struct curl_slist *header_add(struct curl_slist *list, struct arena *mem, const char *name,
                                     sv value)
{
    return curl_slist_append(list, arena_printf(mem, "%s: %.*s", name, SV_ARG(value)).p);
}

static sv mailbox(struct arena *mem, sv address, sv name, size_t used)
{
    if (!name.n)
        return arena_printf(mem, "<%.*s>", SV_ARG(address));
    return arena_printf(mem, "%.*s\r\n <%.*s>", SV_ARG(mail_header_name(mem, name, used)),
                        SV_ARG(address));
}

/* "Sun, 29 Nov 2026 06:00:00 +0000": RFC 5322 from the HTTP form. */
static sv mail_date(struct arena *mem, ts t)
{
    char text[TS_TEXT];
    sv http = ts_http(t, text);
    return arena_printf(mem, "%.*s+0000", (int)(http.n - 3), http.p);
}

static struct curl_slist *headers_of(struct arena *mem, const struct mail_message *m)
{
    struct curl_slist *h = NULL;
    h = header_add(h, mem, "Date", mail_date(mem, m->date));
    h = header_add(h, mem, "Message-ID",
                   arena_printf(mem, "<%.*s@%.*s>", SV_ARG(m->id), SV_ARG(domain_of(m->from))));
    h = header_add(h, mem, "From", mailbox(mem, m->from, m->from_name, 6));
    h = header_add(h, mem, "To", mailbox(mem, m->to, m->to_name, 4));
    h = header_add(h, mem, "Subject", mail_header_encode(mem, m->subject, 9));
    h = header_add(h, mem, "MIME-Version", SV("1.0"));
    h = header_add(h, mem, "Auto-Submitted", SV("auto-generated"));
    if (m->unsubscribe_url.p) {
        h = header_add(h, mem, "List-Unsubscribe", mail_unsubscribe_header(mem, m));
        h = header_add(h, mem, "List-Unsubscribe-Post", SV(MAIL_UNSUBSCRIBE_POST));
    }
    return h;
}

/* Every line ending as CR LF. */
static sv crlf(struct arena *mem, sv text)
{
    BUF_AUTO b = {0};
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\r' && i + 1 < text.n && text.p[i + 1] == '\n')
            continue;
        if (text.p[i] == '\n' || text.p[i] == '\r')
            buf_add(&b, SV("\r\n"));
        else
            buf_char(&b, text.p[i]);
    }
    return arena_sv(mem, buf_sv(&b));
}

static void part_add(curl_mime *mime, struct arena *mem, const char *type, sv body)
{
    curl_mimepart *part = curl_mime_addpart(mime);
    sv text = crlf(mem, body);
    curl_mime_data(part, text.p, text.n);
    curl_mime_type(part, type);
    curl_mime_encoder(part, "quoted-printable");
}

static curl_mime *mime_of(CURL *h, struct arena *mem, const struct mail_message *m)
{
    curl_mime *both = curl_mime_init(h), *whole = curl_mime_init(h);
    part_add(both, mem, "text/plain; charset=utf-8", m->text);
    part_add(both, mem, "text/html; charset=utf-8", m->html);
    curl_mimepart *part = curl_mime_addpart(whole);
    curl_mime_subparts(part, both);
    curl_mime_type(part, "multipart/alternative");
    return whole;
}

/* -------- the transfer -------- */

struct transfer {
    const char *url;
    bool loopback;
    bool once; /* the connection is not kept */
    CURLcode code;
    long reply;
    curl_off_t uploaded;
    char failure[CURL_ERROR_SIZE];
};

static size_t swallow(char *p, size_t size, size_t n, void *arg)
{
    (void)p;
    (void)arg;
    return size * n;
}

static void transfer_options(CURL *h, struct transfer *t)
{
    curl_easy_setopt(h, CURLOPT_URL, t->url);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, 30000L);
    curl_easy_setopt(h, CURLOPT_SERVER_RESPONSE_TIMEOUT, 30L);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, t->failure);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, swallow);
    curl_easy_setopt(h, CURLOPT_PROXY, "");
    curl_easy_setopt(h, CURLOPT_USE_SSL, t->loopback ? (long)CURLUSESSL_TRY : (long)CURLUSESSL_ALL);
    if (t->loopback) {
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void transfer_run(struct arena *mem, const struct mail_message *m, struct transfer *t)
{
    CURL *h = handle_get();
    transfer_options(h, t);
    struct curl_slist *headers = headers_of(mem, m);
    struct curl_slist *to = curl_slist_append(NULL, arena_printf(mem, "<%.*s>", SV_ARG(m->to)).p);
    curl_mime *mime = mime_of(h, mem, m);
    curl_easy_setopt(h, CURLOPT_MAIL_FROM, arena_printf(mem, "<%.*s>", SV_ARG(m->from)).p);
    curl_easy_setopt(h, CURLOPT_MAIL_RCPT, to);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h, CURLOPT_MIMEPOST, mime);
    t->code = curl_easy_perform(h);
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &t->reply);
    curl_easy_getinfo(h, CURLINFO_SIZE_UPLOAD_T, &t->uploaded);
    curl_mime_free(mime);
    curl_slist_free_all(headers);
    curl_slist_free_all(to);
    handle_put(h, t->code == CURLE_OK && !t->once);
}

/* The words of the failure without what a server may have echoed of our password. */
static sv failure_words(struct arena *mem, const struct transfer *t)
{
    if (t->reply >= 400)
        return arena_printf(mem, "the mail server answered %ld (%s)", t->reply,
                            curl_easy_strerror(t->code));
    return arena_printf(mem, "%s", curl_easy_strerror(t->code));
}

static struct mail_verdict transfer_decide(const struct transfer *t)
{
    if (t->code == CURLE_OK)
        return mail_smtp_decide(250);
    switch (t->code) {
    case CURLE_USE_SSL_FAILED: /* no STARTTLS: the operator must look */
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_LOGIN_DENIED:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return (struct mail_verdict){MAIL_PAUSE, true};
    default:
        break;
    }
    /* 354 is the last reply when the connection was lost while or after the body went out. */
    if (t->reply >= 400)
        return mail_smtp_decide((int)t->reply);
    return mail_silence_decide(t->uploaded > 0 || t->reply == 354);
}

/* Without libcurl there is no mail: the operator must look. */
static bool curl_ready(struct arena *mem, struct mail_result *out)
{
    err e = curl_load();
    if (e == OK)
        return true;
    out->outcome = MAIL_PAUSE;
    out->certain = true;
    out->detail = arena_sv(mem, sv_from(err_detail(e)));
    return false;
}

static bool host_loopback(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

static bool url_loopback(const char *url)
{
    CURLU *u = curl_url();
    char *host = NULL;
    bool yes = curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
               curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && host &&
               host_loopback(host);
    curl_free(host);
    curl_url_cleanup(u);
    return yes;
}

/* The path of the URL is the name that we say HELO with. */
static const char *url_with_name(struct arena *mem, sv url, sv name)
{
    while (sv_ends(url, SV("/")))
        url.n--;
    return arena_printf(mem, "%.*s/%.*s", SV_ARG(url), SV_ARG(name)).p;
}

void mail_send_smtp(struct arena *mem, const struct mail_config *c, const struct mail_message *m,
                    struct mail_result *out)
{
    *out = (struct mail_result){.retry_at = TS_NONE};
    if (!curl_ready(mem, out))
        return;
    struct transfer t = {.url = url_with_name(mem, c->base, domain_of(m->from))};
    t.loopback = url_loopback(t.url);
    transfer_run(mem, m, &t);
    struct mail_verdict v = transfer_decide(&t);
    out->outcome = v.outcome;
    out->certain = v.certain;
    out->status = t.code == CURLE_OK ? 250 : (int)t.reply;
    if (v.outcome != MAIL_ACCEPTED)
        out->detail = failure_words(mem, &t);
}

/* -------- console: a receiver in this process -------- */

struct receiver {
    int listener, fd;
    struct buf data; /* what came after DATA, dots unstuffed */
};

static void say(int fd, const char *line)
{
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
        log_event(LOG_WARN, "mail.console", "error", strerror(errno), NULL);
}

static void line_take(struct receiver *r, sv line, bool *in_data)
{
    if (*in_data && sv_is(line, ".\r\n")) {
        *in_data = false;
        say(r->fd, "250 kept\r\n");
    } else if (*in_data) {
        buf_add(&r->data, line.p[0] == '.' ? (sv){line.p + 1, line.n - 1} : line);
    } else if (sv_starts(line, SV("DATA"))) {
        *in_data = true;
        say(r->fd, "354 go on\r\n");
    } else if (sv_starts(line, SV("QUIT"))) {
        say(r->fd, "221 bye\r\n");
    } else {
        say(r->fd, "250 ok\r\n");
    }
}

static void *receiver_main(void *arg)
{
    struct receiver *r = arg;
    BUF_AUTO in = {0};
    bool in_data = false;
    char chunk[8192];
    r->fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    if (r->fd < 0)
        return NULL;
    say(r->fd, "220 console\r\n");
    for (ssize_t n; (n = recv(r->fd, chunk, sizeof chunk, 0)) > 0;) {
        buf_add(&in, (sv){chunk, (size_t)n});
        size_t from = 0;
        for (char *end; (end = memchr(in.p + from, '\n', in.n - from));
             from = (size_t)(end - in.p) + 1)
            line_take(r, (sv){in.p + from, (size_t)(end - in.p) + 1 - from}, &in_data);
        memmove(in.p, in.p + from, in.n - from);
        in.n -= from;
    }
    close(r->fd);
    return NULL;
}

/* A socket that listens on a free loopback port; gives up waiting after 10 s. */
static int listener_open(in_port_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        bind(fd, (struct sockaddr *)&at, n) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(at.sin_port);
    return fd;
}

/* The message as SMTP would carry it. */
static bool compose(struct arena *mem, const struct mail_message *m, struct buf *eml)
{
    in_port_t port;
    struct receiver r = {.listener = listener_open(&port)};
    pthread_t thread;
    if (r.listener < 0)
        return false;
    if (pthread_create(&thread, NULL, receiver_main, &r) != 0) {
        close(r.listener);
        return false;
    }
    struct transfer t = {.url = arena_printf(mem, "smtp://127.0.0.1:%u/console", port).p,
                         .loopback = true,
                         .once = true};
    transfer_run(mem, m, &t);
    shutdown(r.listener, SHUT_RDWR); /* if it never came to a connection */
    pthread_join(thread, NULL);
    close(r.listener);
    *eml = r.data;
    return t.code == CURLE_OK && r.data.n > 0;
}

/* Whole or not at all: written beside, then renamed. */
static bool file_write(struct arena *mem, sv folder, sv name, sv body)
{
    const char *path = arena_printf(mem, "%.*s/%.*s", SV_ARG(folder), SV_ARG(name)).p;
    const char *part = arena_printf(mem, "%s.part", path).p;
    FILE *f = fopen(part, "wbe");
    if (!f)
        return false;
    bool ok = fwrite(body.p, 1, body.n, f) == body.n;
    ok = fclose(f) == 0 && ok;
    return ok && rename(part, path) == 0;
}

static void summary(const struct mail_message *m, struct buf *out)
{
    struct jw w = {.out = out};
    jw_obj(&w);
    jw_kstr(&w, "id", m->id);
    jw_kstr(&w, "to", m->to);
    jw_kstr(&w, "toName", m->to_name);
    jw_kstr(&w, "from", m->from);
    jw_kstr(&w, "subject", m->subject);
    jw_kstr(&w, "text", m->text);
    jw_kstr(&w, "unsubscribeUrl", m->unsubscribe_url);
    jw_kts(&w, "date", m->date);
    jw_obj_end(&w);
    buf_char(out, '\n');
}

/* One line of JSON a message in mails.jsonl. */
static bool line_append(struct arena *mem, sv folder, sv line)
{
    int fd = open(arena_printf(mem, "%.*s/mails.jsonl", SV_ARG(folder)).p,
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = write(fd, line.p, line.n) == (ssize_t)line.n;
    return close(fd) == 0 && ok;
}

void mail_send_console(struct arena *mem, const struct mail_config *c, const struct mail_message *m,
                       struct mail_result *out)
{
    *out = (struct mail_result){.outcome = MAIL_RETRY, .certain = true, .retry_at = TS_NONE};
    BUF_AUTO eml = {0};
    BUF_AUTO line = {0};
    if (!curl_ready(mem, out))
        return;
    if (mkdir(arena_cstr(mem, c->base), 0700) != 0 && errno != EEXIST) {
        out->detail = arena_printf(mem, "cannot make %.*s: %s", SV_ARG(c->base), strerror(errno));
        return;
    }
    if (!compose(mem, m, &eml)) {
        out->detail = SV("the message could not be composed");
        return;
    }
    /* A name is written twice only with the same message: the second attempt after a crash adds no
     * line. */
    sv name = arena_printf(mem, "%.*s.eml", SV_ARG(m->id));
    bool there = access(arena_printf(mem, "%.*s/%.*s", SV_ARG(c->base), SV_ARG(name)).p, F_OK) == 0;
    summary(m, &line);
    if ((!there && !line_append(mem, c->base, buf_sv(&line))) ||
        !file_write(mem, c->base, name, buf_sv(&eml))) {
        out->detail =
            arena_printf(mem, "cannot write to %.*s: %s", SV_ARG(c->base), strerror(errno));
        return;
    }
    out->outcome = MAIL_ACCEPTED;
    out->certain = false;
    out->status = 250;
}
