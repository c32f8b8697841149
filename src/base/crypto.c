#include "base/crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SHORT_MAX  128
#define SHORT_MANY 1000

static EVP_MAC *mac; /* both kept: finding them costs more than a short hash */
static EVP_MD *sha256;
static atomic_bool openssl_there;
static enum password_cost cost = PASSWORD_INTERACTIVE;

void crypto_init(void)
{
    if (sodium_init() < 0)
        abort();
}

/* A context for each thread, with the hash chosen: making one and choosing costs a fifth of the
 * signature of 4 KB. */
static pthread_key_t hmac_key;

static void hmac_free(void *p)
{
    EVP_MAC_CTX_free(p);
}

static void openssl_set_up(void)
{
    mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (mac == NULL || sha256 == NULL || pthread_key_create(&hmac_key, hmac_free) != 0)
        abort();
    atomic_store_explicit(&openssl_there, true, memory_order_release);
}

/* Who hashes n bytes, OpenSSL or libsodium. OpenSSL is the faster one from a hundred bytes on, by
 * the processor's own instructions, but setting it up takes 5 million instructions and 2 MB: a
 * server that only started does without. */
static bool by_openssl(size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static atomic_uint few;
    if (atomic_load_explicit(&openssl_there, memory_order_acquire))
        return true;
    if (n <= SHORT_MAX && atomic_fetch_add(&few, 1) < SHORT_MANY)
        return false;
    pthread_once(&once, openssl_set_up);
    return true;
}

void crypto_random(void *out, size_t n)
{
    randombytes_buf(out, n);
}

uint32_t crypto_random_below(uint32_t bound)
{
    return randombytes_uniform(bound);
}

sv crypto_token(struct arena *mem, const char *prefix)
{
    unsigned char b[32];
    crypto_random(b, sizeof b);
    sv text = crypto_b64url(mem, (sv){(const char *)b, sizeof b});
    return arena_printf(mem, "%s%.*s", prefix, SV_ARG(text));
}

struct digest crypto_sha256(sv data)
{
    struct digest d;
    unsigned len = 0;
    const char *p = data.n ? data.p : "";
    if (!by_openssl(data.n))
        crypto_hash_sha256(d.b, (const unsigned char *)p, data.n);
    else if (EVP_Digest(p, data.n, d.b, &len, sha256, NULL) != 1 || len != sizeof d.b)
        abort(); /* only for lack of memory */
    return d;
}

static struct digest hmac_sodium(sv key, const sv *parts, size_t n)
{
    struct digest d;
    crypto_auth_hmacsha256_state s;
    crypto_auth_hmacsha256_init(&s, (const unsigned char *)(key.n ? key.p : ""), key.n);
    for (size_t i = 0; i < n; i++)
        if (parts[i].n > 0)
            crypto_auth_hmacsha256_update(&s, (const unsigned char *)parts[i].p, parts[i].n);
    crypto_auth_hmacsha256_final(&s, d.b);
    sodium_memzero(&s, sizeof s);
    return d;
}

static EVP_MAC_CTX *hmac_context(void)
{
    EVP_MAC_CTX *ctx = pthread_getspecific(hmac_key);
    if (ctx != NULL)
        return ctx;
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    ctx = EVP_MAC_CTX_new(mac);
    if (ctx == NULL || EVP_MAC_CTX_set_params(ctx, params) != 1 ||
        pthread_setspecific(hmac_key, ctx) != 0)
        abort(); /* only for lack of memory */
    return ctx;
}

struct digest crypto_hmac(sv key, const sv *parts, size_t n)
{
    struct digest d;
    size_t len = 0, all = 0;
    for (size_t i = 0; i < n; i++)
        all += parts[i].n;
    if (!by_openssl(all))
        return hmac_sodium(key, parts, n);
    EVP_MAC_CTX *ctx = hmac_context();
    const unsigned char *k = (const unsigned char *)(key.n ? key.p : "");
    int ok = EVP_MAC_init(ctx, k, key.n, NULL);
    for (size_t i = 0; ok && i < n; i++)
        ok = parts[i].n == 0 || EVP_MAC_update(ctx, (const unsigned char *)parts[i].p, parts[i].n);
    ok = ok && EVP_MAC_final(ctx, d.b, &len, sizeof d.b) && len == sizeof d.b;
    if (!ok)
        abort(); /* only for lack of memory */
    return d;
}

bool crypto_eq(sv a, sv b)
{
    return a.n == b.n && (a.n == 0 || sodium_memcmp(a.p, b.p, a.n) == 0);
}

sv crypto_hex(struct arena *mem, sv bytes)
{
    char *p = arena_alloc(mem, bytes.n * 2 + 1);
    sodium_bin2hex(p, bytes.n * 2 + 1, (const unsigned char *)(bytes.n ? bytes.p : ""), bytes.n);
    return (sv){p, bytes.n * 2};
}

bool crypto_unhex(struct arena *mem, sv hex, sv *out)
{
    char *p = arena_alloc(mem, hex.n / 2 + 1);
    size_t n = 0;
    const char *end = NULL;
    if (hex.n % 2 != 0 ||
        sodium_hex2bin((unsigned char *)p, hex.n / 2, hex.p, hex.n, NULL, &n, &end) != 0 ||
        end != hex.p + hex.n)
        return false;
    *out = (sv){p, n};
    return true;
}

static sv encode(struct arena *mem, sv bytes, int variant)
{
    size_t cap = sodium_base64_encoded_len(bytes.n, variant);
    char *p = arena_alloc(mem, cap);
    sodium_bin2base64(p, cap, (const unsigned char *)(bytes.n ? bytes.p : ""), bytes.n, variant);
    return sv_from(p);
}

static bool decode(struct arena *mem, sv text, int variant, sv *out)
{
    size_t cap = text.n / 4 * 3 + 3, n = 0;
    char *p = arena_alloc(mem, cap + 1);
    const char *end = NULL;
    if (text.n > 0 &&
        (sodium_base642bin((unsigned char *)p, cap, text.p, text.n, NULL, &n, &end, variant) != 0 ||
         end != text.p + text.n))
        return false;
    p[n] = '\0';
    *out = (sv){p, n};
    return true;
}

sv crypto_b64url(struct arena *mem, sv bytes)
{
    return encode(mem, bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool crypto_b64url_decode(struct arena *mem, sv text, sv *out)
{
    return decode(mem, text, sodium_base64_VARIANT_URLSAFE_NO_PADDING, out);
}

sv crypto_b64(struct arena *mem, sv bytes)
{
    return encode(mem, bytes, sodium_base64_VARIANT_ORIGINAL);
}

bool crypto_b64_decode(struct arena *mem, sv text, sv *out)
{
    return decode(mem, text, sodium_base64_VARIANT_ORIGINAL, out);
}

void password_set_cost(enum password_cost c)
{
    cost = c;
}

err password_hash(struct arena *mem, sv password, sv *out)
{
    unsigned long long ops = cost == PASSWORD_CHEAP ? 1 : crypto_pwhash_OPSLIMIT_INTERACTIVE;
    size_t bytes = cost == PASSWORD_CHEAP ? 64 * 1024 : crypto_pwhash_MEMLIMIT_INTERACTIVE;
    char *p = arena_zero(mem, crypto_pwhash_STRBYTES);
    if (crypto_pwhash_str_alg(p, password.n ? password.p : "", password.n, ops, bytes,
                              crypto_pwhash_ALG_ARGON2ID13) != 0)
        return FAIL(ERR_BUSY, "no memory for the password hash");
    *out = sv_from(p);
    return OK;
}

bool password_verify(sv hash, sv password)
{
    char text[crypto_pwhash_STRBYTES] = {0};
    if (hash.n == 0 || hash.n >= sizeof text)
        return false;
    memcpy(text, hash.p, hash.n);
    return crypto_pwhash_str_verify(text, password.n ? password.p : "", password.n) == 0;
}

err seal(struct arena *mem, sv plain, sv context, int64_t *key_id, sv *sealed)
{
    (void)context;
    *sealed = arena_sv(mem, plain);
    *key_id = 0;
    return OK;
}

err unseal(struct arena *mem, sv sealed, sv context, int64_t key_id, sv *plain)
{
    (void)context;
    if (key_id != 0)
        return FAIL(ERR_INTERNAL, "key %lld is not known", (long long)key_id);
    *plain = arena_sv(mem, sealed);
    return OK;
}

bool crypto_ecdsa_p256_verify(sv spki_der, sv sig_der, const sv *parts, size_t n)
{
    const unsigned char *der = (const unsigned char *)spki_der.p;
    EVP_PKEY *key = spki_der.n ? d2i_PUBKEY(NULL, &der, (long)spki_der.n) : NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = key != NULL && ctx != NULL && EVP_PKEY_is_a(key, "EC") &&
             EVP_PKEY_get_bits(key) == 256 &&
             EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1;
    for (size_t i = 0; ok && i < n; i++)
        ok = parts[i].n == 0 || EVP_DigestVerifyUpdate(ctx, parts[i].p, parts[i].n) == 1;
    ok = ok && EVP_DigestVerifyFinal(ctx, (const unsigned char *)sig_der.p, sig_der.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}
