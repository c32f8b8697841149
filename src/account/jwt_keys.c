#include "account/jwt_keys.h"
#include "base/crypto.h"
#include "base/json.h"
#include "base/log.h"
#include "http/client.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define KEYS_MAX     64
#define ASK_EVERY_US (INT64_C(3600) * 1000000) /* in peace */
#define ASK_AGAIN_US                                                                               \
    (INT64_C(3) * 1000000) /* at most this often for unknown keys and after failures */

struct jwt_key {
    char kid[256]; /* "" = none */
    enum jwt_alg alg;
    EVP_PKEY *key;
};
struct jwt_key_set {
    size_t n;
    struct jwt_key keys[KEYS_MAX];
};

/* -------- one key of a set -------- */

static bool decoded(struct arena *mem, const json *jwk, const char *name, sv *out)
{
    sv text = json_get_str(jwk, name);
    return text.n > 0 && crypto_b64url_decode(mem, text, out) && out->n > 0 && out->n <= 1024;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *b)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(struct arena *mem, const json *jwk)
{
    sv n, e;
    if (!decoded(mem, jwk, "n", &n) || !decoded(mem, jwk, "e", &e))
        return NULL;
    BIGNUM *bn = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
    BIGNUM *be = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (bn && be && b && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, bn) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, be))
        key = from_params("RSA", b);
    OSSL_PARAM_BLD_free(b);
    BN_free(bn);
    BN_free(be);
    if (key != NULL && EVP_PKEY_get_bits(key) < 2048) { /* RFC 7518 §3.3 */
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static EVP_PKEY *ec_key(struct arena *mem, const json *jwk)
{
    sv x, y;
    unsigned char point[65] = {4};
    if (!sv_is(json_get_str(jwk, "crv"), "P-256") || !decoded(mem, jwk, "x", &x) ||
        !decoded(mem, jwk, "y", &y) || x.n != 32 || y.n != 32)
        return NULL;
    memcpy(point + 1, x.p, 32);
    memcpy(point + 33, y.p, 32);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (b && OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point))
        key = from_params("EC", b);
    OSSL_PARAM_BLD_free(b);
    return key;
}

static EVP_PKEY *ed_key(struct arena *mem, const json *jwk)
{
    sv x;
    if (!sv_is(json_get_str(jwk, "crv"), "Ed25519") || !decoded(mem, jwk, "x", &x) || x.n != 32)
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.p, 32);
}

static bool key_parse(struct arena *mem, const json *jwk, struct jwt_key *out)
{
    static const char *const algs[] = {"RS256", "ES256", "EdDSA"};
    sv kty = json_get_str(jwk, "kty"), use = json_get_str(jwk, "use"),
       kid = json_get_str(jwk, "kid");
    sv alg = json_get_str(jwk, "alg");
    struct jwt_key k = {.kid = ""};
    if ((use.p && !sv_is(use, "sig")) || kid.n >= sizeof k.kid)
        return false;
    if (sv_is(kty, "RSA")) {
        k.alg = JWT_RS256;
        k.key = rsa_key(mem, jwk);
    } else if (sv_is(kty, "EC")) {
        k.alg = JWT_ES256;
        k.key = ec_key(mem, jwk);
    } else if (sv_is(kty, "OKP")) {
        k.alg = JWT_EDDSA;
        k.key = ed_key(mem, jwk);
    }
    if (k.key != NULL && alg.p && !sv_is(alg, algs[k.alg])) { /* for another algorithm */
        EVP_PKEY_free(k.key);
        k.key = NULL;
    }
    if (kid.n)
        memcpy(k.kid, kid.p, kid.n);
    *out = k;
    return k.key != NULL;
}

struct jwt_key_set *jwt_key_set_parse(sv text)
{
    ARENA_AUTO mem = arena_new(0);
    const json *doc = NULL;
    if (json_parse(mem, text, &doc) != OK || json_kind(json_get(doc, "keys")) != JK_ARR)
        return NULL;
    struct jwt_key_set *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    const json *keys = json_get(doc, "keys");
    for (size_t i = 0; i < json_len(keys) && s->n < KEYS_MAX; i++)
        if (key_parse(mem, json_at(keys, i), &s->keys[s->n]))
            s->n++;
    return s;
}

void jwt_key_set_free(struct jwt_key_set *s)
{
    for (size_t i = 0; s != NULL && i < s->n; i++)
        EVP_PKEY_free(s->keys[i].key);
    free(s);
}

/* -------- signatures -------- */

/* JOSE writes r and s of 32 bytes each; OpenSSL reads DER. */
static int ecdsa_der(sv raw, unsigned char **der)
{
    if (raw.n != 64)
        return 0;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const unsigned char *)raw.p, 32, NULL);
    BIGNUM *s = BN_bin2bn((const unsigned char *)raw.p + 32, 32, NULL);
    int n = 0;
    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s)) {
        n = i2d_ECDSA_SIG(sig, der);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return n;
}

static bool verify(const struct jwt_key *k, const struct jwt *t)
{
    const unsigned char *sig = (const unsigned char *)t->signature.p;
    unsigned char *der = NULL;
    size_t n = t->signature.n;
    if (k->alg == JWT_ES256) {
        int len = ecdsa_der(t->signature, &der);
        if (len <= 0)
            return false;
        sig = der;
        n = (size_t)len;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good =
        ctx != NULL &&
        EVP_DigestVerifyInit(ctx, NULL, k->alg == JWT_EDDSA ? NULL : EVP_sha256(), NULL, k->key) ==
            1 &&
        EVP_DigestVerify(ctx, sig, n, (const unsigned char *)t->signed_by.p, t->signed_by.n) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return good;
}

int jwt_key_set_verify(const struct jwt_key_set *s, const struct jwt *t)
{
    const struct jwt_key *found = NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct jwt_key *k = &s->keys[i];
        if (k->alg != t->alg || (t->kid.p && !sv_is(t->kid, k->kid)))
            continue;
        if (found != NULL)
            return 0; /* not told which */
        found = k;
    }
    return found == NULL ? -1 : verify(found, t);
}

/* -------- the keys of this process -------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool running, stop, wanted, failed;
    struct jwt_key_set *set; /* NULL: never seen */
    int64_t asked_us;        /* when the last answer came; 0: never */
    char url[2049];
} keys = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static struct jwt_key_set *fetch(void)
{
    ARENA_AUTO mem = arena_new(0);
    struct http_call c = {.method = "GET",
                          .url = sv_from(keys.url),
                          .connect_timeout_ms = 5000,
                          .timeout_ms = 10000,
                          .answer_max = 1 << 20};
    struct http_answer a;
    struct jwt_key_set *s = NULL;
    if (http_fetch(mem, &c, &a) == OK && a.status == 200)
        s = jwt_key_set_parse(a.body);
    if (s == NULL)
        log_event(LOG_WARN, "jwks.fetch", "failure",
                  a.status == 0     ? (a.failure ? a.failure : "no answer")
                  : a.status != 200 ? "an answer other than 200"
                                    : "the answer is no JWK set",
                  NULL);
    return s;
}

static void wait_until_wanted(void)
{
    int64_t next = keys.asked_us + (keys.failed ? ASK_AGAIN_US : ASK_EVERY_US);
    while (!keys.stop && clock_mono_us() < next) {
        if (keys.wanted && clock_mono_us() >= keys.asked_us + ASK_AGAIN_US)
            return;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        pthread_cond_timedwait(&keys.wake, &keys.lock, &until);
    }
}

static void *run(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&keys.lock);
    while (!keys.stop) {
        pthread_mutex_unlock(&keys.lock);
        struct jwt_key_set *fresh = fetch(), *old = NULL;
        pthread_mutex_lock(&keys.lock);
        keys.failed = fresh == NULL;
        keys.wanted = false;
        keys.asked_us = clock_mono_us();
        if (fresh != NULL) {
            old = keys.set;
            keys.set = fresh;
        }
        jwt_key_set_free(old);
        wait_until_wanted();
    }
    pthread_mutex_unlock(&keys.lock);
    return NULL;
}

void jwt_keys_start(sv url)
{
    if (url.n == 0 || url.n >= sizeof keys.url || keys.running)
        return;
    memcpy(keys.url, url.p, url.n);
    keys.url[url.n] = '\0';
    keys.stop = false;
    keys.running = pthread_create(&keys.thread, NULL, run, NULL) == 0;
}

void jwt_keys_stop(void)
{
    if (!keys.running)
        return;
    pthread_mutex_lock(&keys.lock);
    keys.stop = true;
    pthread_cond_signal(&keys.wake);
    pthread_mutex_unlock(&keys.lock);
    pthread_join(keys.thread, NULL);
    keys.running = false;
    jwt_key_set_free(keys.set);
    keys.set = NULL;
}

err jwt_signature_check(const struct jwt *t)
{
    pthread_mutex_lock(&keys.lock);
    int good = keys.set ? jwt_key_set_verify(keys.set, t) : -1;
    bool fresh =
        keys.asked_us != 0 && !keys.failed && clock_mono_us() < keys.asked_us + ASK_AGAIN_US;
    if (good < 0 && !fresh) {
        keys.wanted = true;
        pthread_cond_signal(&keys.wake);
    }
    pthread_mutex_unlock(&keys.lock);
    if (good > 0)
        return OK;
    if (good < 0 && !fresh)
        return FAIL(ERR_UPSTREAM, "The identity provider's keys are being fetched; try again");
    return FAIL(ERR_UNAUTHENTICATED, good < 0 ? "The token is signed by an unknown key"
                                              : "The token's signature is not valid");
}
