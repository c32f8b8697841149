#define CURL_DISABLE_TYPECHECK /* here its macros of the functions' own names are in the way */
#include "http/curl.h"
#include "base/library.h"

#include <curl/curl.h>
#include <stdarg.h>
#undef curl_easy_getinfo
#undef curl_easy_setopt
#undef curl_multi_setopt

#define TABLE(F)                                                                                   \
    F(void, curl_easy_cleanup, (CURL * h), (h))                                                    \
    F(CURL *, curl_easy_init, (void), ())                                                          \
    F(CURLcode, curl_easy_perform, (CURL * h), (h))                                                \
    F(void, curl_easy_reset, (CURL * h), (h))                                                      \
    F(const char *, curl_easy_strerror, (CURLcode code), (code))                                   \
    F(void, curl_free, (void *p), (p))                                                             \
    F(CURLcode, curl_global_init, (long flags), (flags))                                           \
    F(curl_mimepart *, curl_mime_addpart, (curl_mime * m), (m))                                    \
    F(CURLcode, curl_mime_data, (curl_mimepart * p, const char *data, size_t n), (p, data, n))     \
    F(CURLcode, curl_mime_encoder, (curl_mimepart * p, const char *name), (p, name))               \
    F(void, curl_mime_free, (curl_mime * m), (m))                                                  \
    F(curl_mime *, curl_mime_init, (CURL * h), (h))                                                \
    F(CURLcode, curl_mime_subparts, (curl_mimepart * p, curl_mime * parts), (p, parts))            \
    F(CURLcode, curl_mime_type, (curl_mimepart * p, const char *type), (p, type))                  \
    F(CURLMcode, curl_multi_add_handle, (CURLM * m, CURL * h), (m, h))                             \
    F(CURLMcode, curl_multi_assign, (CURLM * m, curl_socket_t s, void *arg), (m, s, arg))          \
    F(CURLMcode, curl_multi_cleanup, (CURLM * m), (m))                                             \
    F(CURLMsg *, curl_multi_info_read, (CURLM * m, int *left), (m, left))                          \
    F(CURLM *, curl_multi_init, (void), ())                                                        \
    F(CURLMcode, curl_multi_remove_handle, (CURLM * m, CURL * h), (m, h))                          \
    F(CURLMcode, curl_multi_socket_action, (CURLM * m, curl_socket_t s, int what, int *running),   \
      (m, s, what, running))                                                                       \
    F(struct curl_slist *, curl_slist_append, (struct curl_slist * l, const char *s), (l, s))      \
    F(void, curl_slist_free_all, (struct curl_slist * l), (l))                                     \
    F(CURLU *, curl_url, (void), ())                                                               \
    F(void, curl_url_cleanup, (CURLU * u), (u))                                                    \
    F(CURLUcode, curl_url_get, (CURLU * u, CURLUPart what, char **part, unsigned flags),           \
      (u, what, part, flags))                                                                      \
    F(CURLUcode, curl_url_set, (CURLU * u, CURLUPart what, const char *part, unsigned flags),      \
      (u, what, part, flags))                                                                      \
    F(curl_version_info_data *, curl_version_info, (CURLversion v), (v))

/* Those with "...", which are passed on below. */
#define VARIADIC(F)                                                                                \
    F(CURLcode, curl_easy_getinfo, , )                                                             \
    F(CURLcode, curl_easy_setopt, , )                                                              \
    F(CURLMcode, curl_multi_setopt, , )

static const char *const names[] = {TABLE(LIBRARY_NAME) VARIADIC(LIBRARY_NAME)};
static union {
    struct {
        TABLE(LIBRARY_POINTER)
        VARIADIC(LIBRARY_POINTER)
    };
    void *all[sizeof names / sizeof *names];
} functions;
static struct library libcurl = {.file = "libcurl.so.4",
                                 .package = "libcurl4",
                                 .names = names,
                                 .functions = functions.all,
                                 .n = sizeof names / sizeof *names,
                                 .lock = PTHREAD_MUTEX_INITIALIZER};

TABLE(LIBRARY_CALL)

/* What is passed has the type that the option's number tells (curl/curl.h, CURLOPTTYPE_…). */
#define PASS_OPTION(call, handle, option)                                                          \
    switch ((option) / 10000 * 10000) {                                                            \
    case CURLOPTTYPE_LONG:                                                                         \
        code = functions.call(handle, option, va_arg(more, long));                                 \
        break;                                                                                     \
    case CURLOPTTYPE_OFF_T:                                                                        \
        code = functions.call(handle, option, va_arg(more, curl_off_t));                           \
        break;                                                                                     \
    case CURLOPTTYPE_FUNCTIONPOINT:                                                                \
        code = functions.call(handle, option, va_arg(more, void (*)(void)));                       \
        break;                                                                                     \
    default:                                                                                       \
        code = functions.call(handle, option, va_arg(more, void *));                               \
    }

__attribute__((visibility("hidden"))) CURLcode curl_easy_setopt(CURL *h, CURLoption option, ...)
{
    CURLcode code;
    va_list more;
    va_start(more, option);
    PASS_OPTION(curl_easy_setopt, h, option)
    va_end(more);
    return code;
}

__attribute__((visibility("hidden"))) CURLMcode curl_multi_setopt(CURLM *m, CURLMoption option, ...)
{
    CURLMcode code;
    va_list more;
    va_start(more, option);
    PASS_OPTION(curl_multi_setopt, m, option)
    va_end(more);
    return code;
}

__attribute__((visibility("hidden"))) CURLcode curl_easy_getinfo(CURL *h, CURLINFO what, ...)
{
    va_list more;
    va_start(more, what);
    CURLcode code =
        functions.curl_easy_getinfo(h, what, va_arg(more, void *)); /* where to put it */
    va_end(more);
    return code;
}

static void set_up(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

err curl_load(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    TRY(library_load(&libcurl));
    pthread_once(&once, set_up);
    return OK;
}

err curl_find(void)
{
    return library_find(&libcurl);
}
