/* The identity provider's public keys: fetched by a thread of their own, kept in memory, looked up
 * anywhere. */
#pragma once
#include "account/jwt_rules.h"

/* Starts fetching; url SV_NULL: nothing to do. After http_client_start. */
void jwt_keys_start(sv url);
void jwt_keys_stop(void);
/* Is the token signed by one of the keys? ERR_UNAUTHENTICATED: no. ERR_UPSTREAM: its key is not
 * known and the provider is being asked (again): try in a moment. Never blocks. */
err jwt_signature_check(const struct jwt *t) MUST_USE;

/* -------- for tests -------- */
struct jwt_key_set;
/* Reads a JWK Set (RFC 7517): keys that we cannot use are left out. NULL if it is none. */
struct jwt_key_set *jwt_key_set_parse(sv text);
void jwt_key_set_free(struct jwt_key_set *s);
/* 1: signed by the key it names (or by the only key of its kind, if it names none); 0: not; -1: no
 * such key. */
int jwt_key_set_verify(const struct jwt_key_set *s, const struct jwt *t);
