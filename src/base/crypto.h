/* Cryptography, all by libsodium and OpenSSL. crypto_init once at start, before threads. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

void crypto_init(void);
void crypto_random(void *out, size_t n);
uint32_t crypto_random_below(uint32_t bound);
/* A fresh secret of 32 random bytes as base64url text behind `prefix` ("mb_st_"). */
sv crypto_token(struct arena *mem, const char *prefix);

struct digest {
    unsigned char b[32];
};
struct digest crypto_sha256(sv data);
/* HMAC-SHA256 over the concatenation of `parts`. */
struct digest crypto_hmac(sv key, const sv *parts, size_t n);
bool crypto_eq(sv a, sv b); /* constant time in the content; unequal lengths differ */
static inline sv digest_sv(const struct digest *d)
{
    return (sv){(const char *)d->b, sizeof d->b};
}

sv crypto_hex(struct arena *mem, sv bytes);
bool crypto_unhex(struct arena *mem, sv hex, sv *out);
sv crypto_b64url(struct arena *mem, sv bytes); /* without padding */
bool crypto_b64url_decode(struct arena *mem, sv text, sv *out);
sv crypto_b64(struct arena *mem, sv bytes); /* standard alphabet, with padding */
bool crypto_b64_decode(struct arena *mem, sv text, sv *out);

/* argon2id; slow on purpose (tens of ms, 64 MiB in production): never on an event loop. */
enum password_cost { PASSWORD_INTERACTIVE, PASSWORD_CHEAP /* tests in dev */ };
void password_set_cost(enum password_cost cost); /* once at start */
err password_hash(struct arena *mem, sv password, sv *out) MUST_USE;
bool password_verify(sv hash, sv password);

/* Sealing of stored texts with a key id beside them. Key id 0 is the null key: the text as it is.
 * (Encryption at rest brings real keys; callers stay as they are.) `context` is authenticated. */
err seal(struct arena *mem, sv plain, sv context, int64_t *key_id, sv *sealed) MUST_USE;
err unseal(struct arena *mem, sv sealed, sv context, int64_t key_id, sv *plain) MUST_USE;

/* ECDSA P-256 over SHA-256: `spki_der` = DER SubjectPublicKeyInfo, `sig_der` = DER signature. */
bool crypto_ecdsa_p256_verify(sv spki_der, sv sig_der, const sv *parts, size_t n);
