/* The catalogue: plan, allowances, discounts, items, AI model prices. One JSON file (CATALOG, else
 * ./catalog.json, else the built-in example), read and validated at start, immutable afterwards.
 * SPEC §1, §2. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/money.h"
#include "http/route.h"

enum item_kind { ITEM_QUIZ, ITEM_ARTICLE };
#define ITEM_KINDS 2

struct item {
    sv id; /* "quiz:slug" */
    enum item_kind kind;
    sv slug, title, description;
    money price; /* list price */
    currency currency;
    bool premium; /* articles: false = free for everybody (price 0) */
    bool retired; /* not sold any more; owners keep it */
};

/* What premium gives an item kind in a cycle. SPEC §2. */
struct allowance {
    int64_t limit;   /* free uses: 2 quizzes, 3 articles */
    money max_price; /* free only up to this list price (5000); <0 = no bound */
    int discount_percent;
    int64_t discount_limit; /* 3; <0 = without limit */
};

struct catalog {
    sv plan_key, plan_name,
        plan_lookup_key; /* "premium", "MyBeing Premium", "mybeing_premium_monthly" */
    money plan_price;
    currency plan_currency;
    sv plan_product_id; /* "mybeing_premium" */
    int64_t plan_trial_days;
    struct allowance allowance[ITEM_KINDS];
    int64_t ai_free_per_day; /* 5 */
    const struct item *items;
    size_t nitems;
    const json *ai_models;  /* model -> its prices, newest first (see docs/ops.md); NULL if none */
    const json *help_lines; /* of crises, {country, name, phone, url}; NULL = the built-in ones */
    const uint32_t
        *index; /* catalog_find's hash: item number + 1, 0 = free; nindex is a power of 2 */
    size_t nindex;
    sv source; /* the file's name, or "built-in example" */
};
/* `path` = CATALOG; SV_NULL or "": ./catalog.json if it is there, else the built-in example.
 * ERR_CONFIG with a line a mistake in `problems` ("catalog.json: /items/3/price: …"). Lives in
 * `mem`. */
err catalog_load(struct arena *mem, sv path, struct buf *problems,
                 const struct catalog **out) MUST_USE;
/* The same of a text; `name` is what the problems call it. */
err catalog_parse(struct arena *mem, sv text, sv name, struct buf *problems,
                  const struct catalog **out) MUST_USE;
/* What a million tokens of a model cost on a day ("2026-11-29"), in minor units; false = no price
 * is known. */
bool catalog_ai_price(const struct catalog *c, sv model, sv day, int64_t *in, int64_t *out);
sv catalog_example(void);                                          /* the built-in example's text */
const struct item *catalog_find(const struct catalog *c, sv item); /* NULL if unknown */
const char *item_kind_name(enum item_kind k);                      /* "quiz", "article" */
