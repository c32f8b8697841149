#include "catalog/catalog.h"

#include "catalog/catalog_read.h"
#include "catalog_files.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define PRICE_MAX   99999999 /* Stripe's largest amount: eight digits */
#define CHARGE_MIN  50       /* SPEC §2: under it a price would become free */
#define ITEMS_MAX   10000
#define CATALOG_MAX (4U << 20)

static const char *const kind_names[ITEM_KINDS] = {"quiz", "article"};

const char *item_kind_name(enum item_kind k)
{
    return kind_names[k];
}

sv catalog_example(void)
{
    return catalog_files[0].body;
}

static uint32_t hash(sv s)
{
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 16777619U;
    return h;
}

/* The item's place in the index, or the free place where it would stand. */
static size_t place(const struct catalog *c, sv id)
{
    size_t at = hash(id) & (c->nindex - 1);
    while (c->index[at] != 0 && !sv_eq(c->items[c->index[at] - 1].id, id))
        at = (at + 1) & (c->nindex - 1);
    return at;
}

const struct item *catalog_find(const struct catalog *c, sv item)
{
    if (c->nindex == 0)
        return NULL;
    uint32_t i = c->index[place(c, item)];
    return i == 0 ? NULL : &c->items[i - 1];
}

static void read_plan(struct catalog_reader *rd, const json *root, struct catalog *c)
{
    const struct catalog_field fields[] = {
        {"key", CAT_WORD, &c->plan_key, true, .min = 1, .max = 40},
        {"name", CAT_TEXT, &c->plan_name, true, .min = 1, .max = 100},
        {"lookupKey", CAT_WORD, &c->plan_lookup_key, true, .min = 1, .max = 100},
        {"productId", CAT_WORD, &c->plan_product_id, true, .min = 1, .max = 100},
        {"price", CAT_INT, &c->plan_price.minor, true, .min = CHARGE_MIN, .max = PRICE_MAX},
        {"trialDays", CAT_INT, &c->plan_trial_days, false, .min = 0, .max = 730},
    };
    catalog_read(rd, json_get(root, "plan"), SV("/plan"), fields, sizeof fields / sizeof *fields,
                 NULL);
}

static void read_allowance(struct catalog_reader *rd, const json *obj, sv pointer,
                           struct allowance *a)
{
    int64_t percent = 0;
    const struct catalog_field fields[] = {
        {"limit", CAT_INT, &a->limit, true, .min = 0, .max = 1000},
        {"maxPrice", CAT_INT, &a->max_price.minor, true, true, .min = 0, .max = PRICE_MAX},
        {"discountPercent", CAT_INT, &percent, true, .min = 0, .max = 100},
        {"discountLimit", CAT_INT, &a->discount_limit, true, true, .min = 0, .max = 1000},
    };
    catalog_read(rd, obj, pointer, fields, sizeof fields / sizeof *fields, NULL);
    a->discount_percent = (int)percent;
}

static void read_allowances(struct catalog_reader *rd, const json *root, struct catalog *c)
{
    const json *all = json_get(root, "allowances");
    static const char *const also[] = {"quiz", "article", NULL};
    catalog_read(rd, all, SV("/allowances"), NULL, 0, also);
    if (json_kind(all) != JK_OBJ)
        return;
    for (int k = 0; k < ITEM_KINDS; k++)
        read_allowance(rd, json_get(all, kind_names[k]),
                       arena_printf(rd->mem, "/allowances/%s", kind_names[k]), &c->allowance[k]);
}

/* "2026-11-01": dates of prices are compared as texts of this form. */
static bool is_date(sv s)
{
    static const char form[] = "dddd-dd-dd";
    bool ok = s.n == sizeof form - 1;
    for (size_t i = 0; ok && i < s.n; i++)
        ok = form[i] == 'd' ? s.p[i] >= '0' && s.p[i] <= '9' : s.p[i] == form[i];
    return ok;
}

static void read_price(struct catalog_reader *rd, const json *price, sv pointer)
{
    sv from = SV("0000-00-00"), comment;
    int64_t in, out;
    const struct catalog_field fields[] = {
        {"from", CAT_TEXT, &from, false, .min = 1, .max = 10},
        {"comment", CAT_TEXT, &comment, false, .min = 0, .max = 1000},
        {"inputPerMillion", CAT_INT, &in, true, .min = 0, .max = PRICE_MAX},
        {"outputPerMillion", CAT_INT, &out, true, .min = 0, .max = PRICE_MAX},
    };
    catalog_read(rd, price, pointer, fields, sizeof fields / sizeof *fields, NULL);
    if (!is_date(from))
        catalog_mistake(rd, arena_printf(rd->mem, "%.*s/from", SV_ARG(pointer)),
                        "must be a date like 2026-11-01");
}

static void read_model_prices(struct catalog_reader *rd, const json *prices, sv pointer)
{
    if (json_kind(prices) != JK_ARR) {
        read_price(rd, prices, pointer);
        return;
    }
    for (size_t i = 0; i < json_len(prices); i++)
        read_price(rd, json_at(prices, i), arena_printf(rd->mem, "%.*s/%zu", SV_ARG(pointer), i));
}

/* The newest price that holds on the day. */
static const json *price_on(const json *prices, sv day)
{
    const json *best = NULL;
    sv best_from = SV_NULL;
    bool list = json_kind(prices) == JK_ARR;
    for (size_t i = 0; i < (list ? json_len(prices) : 1); i++) {
        const json *p = list ? json_at(prices, i) : prices;
        sv from = json_get_str(p, "from");
        if (sv_cmp(from, day) <= 0 && (best == NULL || sv_cmp(from, best_from) >= 0)) {
            best = p;
            best_from = from;
        }
    }
    return best;
}

bool catalog_ai_price(const struct catalog *c, sv model, sv day, int64_t *in, int64_t *out)
{
    const json *p = NULL;
    for (struct json_iter it = json_iter(c->ai_models); json_next(&it);)
        if (sv_eq(it.key, model))
            p = price_on(it.value, day);
    if (p == NULL)
        return false;
    *in = json_get_int(p, "inputPerMillion", 0);
    *out = json_get_int(p, "outputPerMillion", 0);
    return true;
}

static void read_ai(struct catalog_reader *rd, const json *root, struct catalog *c)
{
    const struct catalog_field fields[] = {
        {"freePerDay", CAT_INT, &c->ai_free_per_day, true, .min = 0, .max = 100000},
    };
    static const char *const also[] = {"models", NULL};
    const json *ai = json_get(root, "ai");
    catalog_read(rd, ai, SV("/ai"), fields, 1, also);
    const json *models = json_get(ai, "models");
    if (models == NULL)
        return;
    if (json_kind(models) != JK_OBJ)
        catalog_mistake(rd, SV("/ai/models"), "must be an object: model name to its prices");
    else if (json_len(models) > 0)
        c->ai_models = models;
    for (struct json_iter it = json_iter(models); json_next(&it);)
        read_model_prices(rd, it.value, arena_printf(rd->mem, "/ai/models/%.*s", SV_ARG(it.key)));
}

static void read_safety(struct catalog_reader *rd, const json *root, struct catalog *c)
{
    const json *safety = json_get(root, "safety");
    static const char *const also[] = {"helpLines", NULL};
    if (safety == NULL)
        return;
    catalog_read(rd, safety, SV("/safety"), NULL, 0, also);
    const json *lines = json_get(safety, "helpLines");
    for (size_t i = 0; i < json_len(lines); i++) {
        sv country = SV(""), name, phone = SV(""), url = SV("");
        const struct catalog_field fields[] = {
            {"country", CAT_TEXT, &country, false, .min = 0, .max = 2},
            {"name", CAT_TEXT, &name, true, .min = 1, .max = 100},
            {"phone", CAT_TEXT, &phone, false, .min = 0, .max = 40},
            {"url", CAT_TEXT, &url, false, .min = 0, .max = 200},
        };
        catalog_read(rd, json_at(lines, i), arena_printf(rd->mem, "/safety/helpLines/%zu", i),
                     fields, 4, NULL);
    }
    if (json_len(lines) > 0)
        c->help_lines = lines;
}

static bool read_kind(sv word, enum item_kind *out)
{
    for (int k = 0; k < ITEM_KINDS; k++)
        if (sv_is(word, kind_names[k])) {
            *out = (enum item_kind)k;
            return true;
        }
    return false;
}

static void check_price(struct catalog_reader *rd, sv pointer, const struct item *it)
{
    sv at = arena_printf(rd->mem, "%.*s/price", SV_ARG(pointer));
    if (it->price.minor > 0 && it->price.minor < CHARGE_MIN)
        catalog_mistake(rd, at, "is under the smallest charge: use 0 (free) or at least %d",
                        CHARGE_MIN);
    else if (it->kind == ITEM_ARTICLE && it->premium && it->price.minor == 0)
        catalog_mistake(rd, at, "must be above 0 for a premium article");
    else if (it->kind == ITEM_ARTICLE && !it->premium && it->price.minor > 0)
        catalog_mistake(rd, at, "must be 0 for an article that is not premium");
}

static void read_item(struct catalog_reader *rd, const json *obj, sv pointer,
                      const struct catalog *c, struct item *it)
{
    sv kind = SV_NULL;
    int64_t price = 0;
    bool premium = true;
    const struct catalog_field fields[] = {
        {"kind", CAT_WORD, &kind, true, .min = 1, .max = 20},
        {"slug", CAT_WORD, &it->slug, true, .min = 1, .max = 80},
        {"title", CAT_TEXT, &it->title, true, .min = 1, .max = 200},
        {"description", CAT_TEXT, &it->description, false, .min = 0, .max = 1000},
        {"price", CAT_INT, &price, true, .min = 0, .max = PRICE_MAX},
        {"premium", CAT_BOOL, &premium, false},
        {"retired", CAT_BOOL, &it->retired, false},
    };
    it->description = SV("");
    unsigned before = rd->mistakes;
    catalog_read(rd, obj, pointer, fields, sizeof fields / sizeof *fields, NULL);
    if (kind.p != NULL && !read_kind(kind, &it->kind))
        catalog_mistake(rd, arena_printf(rd->mem, "%.*s/kind", SV_ARG(pointer)),
                        "must be quiz or article");
    if (rd->mistakes != before)
        return;
    if (it->kind == ITEM_QUIZ && json_get(obj, "premium") != NULL)
        catalog_mistake(rd, arena_printf(rd->mem, "%.*s/premium", SV_ARG(pointer)),
                        "is for articles only: a quiz costs its price");
    it->price = (money){price};
    it->premium = it->kind == ITEM_ARTICLE ? premium : price > 0;
    it->currency = c->plan_currency;
    it->id = arena_printf(rd->mem, "%s:%.*s", kind_names[it->kind], SV_ARG(it->slug));
    check_price(rd, pointer, it);
}

static void read_items(struct catalog_reader *rd, const json *root, struct catalog *c)
{
    const json *list = json_get(root, "items");
    size_t n = json_len(list);
    if (json_kind(list) != JK_ARR) {
        catalog_mistake(rd, SV("/items"), list == NULL ? "is missing" : "must be a list");
        return;
    }
    if (n > ITEMS_MAX) {
        catalog_mistake(rd, SV("/items"), "may have at most %d items", ITEMS_MAX);
        return;
    }
    size_t nindex = 16;
    while (nindex < 2 * n)
        nindex *= 2;
    struct item *items = ARENA_ARRAY(rd->mem, struct item, n);
    uint32_t *index = ARENA_ARRAY(rd->mem, uint32_t, nindex);
    c->items = items;
    c->nitems = n;
    c->index = index;
    c->nindex = nindex;
    for (size_t i = 0; i < n; i++) {
        sv pointer = arena_printf(rd->mem, "/items/%zu", i);
        read_item(rd, json_at(list, i), pointer, c, &items[i]);
        if (items[i].id.p == NULL)
            continue;
        size_t at = place(c, items[i].id);
        if (index[at] != 0)
            catalog_mistake(rd, arena_printf(rd->mem, "%.*s/slug", SV_ARG(pointer)),
                            "%.*s stands twice: also /items/%u", SV_ARG(items[i].id),
                            index[at] - 1);
        else
            index[at] = (uint32_t)(i + 1);
    }
}

static void read_currency(struct catalog_reader *rd, const json *root, struct catalog *c)
{
    sv code = SV("usd");
    const struct catalog_field fields[] = {
        {"currency", CAT_TEXT, &code, false, .min = 1, .max = 10},
    };
    static const char *const also[] = {"plan", "allowances", "ai", "safety", "items", NULL};
    catalog_read(rd, root, SV(""), fields, 1, also);
    if (!currency_parse(code, &c->plan_currency))
        catalog_mistake(rd, SV("/currency"), "must be three letters, as in \"usd\"");
}

err catalog_parse(struct arena *mem, sv text, sv name, struct buf *problems,
                  const struct catalog **out)
{
    struct catalog_reader rd = {mem, problems, name, 0};
    struct catalog *c = ARENA_NEW(mem, struct catalog);
    const json *root = NULL;
    if (json_parse(mem, arena_sv(mem, text), &root) != OK) {
        buf_printf(problems, "%.*s: %s\n", SV_ARG(name), err_last()->detail);
        return FAIL(ERR_CONFIG, "the catalogue %.*s is not valid JSON", SV_ARG(name));
    }
    c->source = arena_sv(mem, name);
    read_currency(&rd, root, c);
    if (json_kind(root) == JK_OBJ) {
        read_plan(&rd, root, c);
        read_allowances(&rd, root, c);
        read_ai(&rd, root, c);
        read_safety(&rd, root, c);
        read_items(&rd, root, c);
    }
    if (rd.mistakes > 0)
        return FAIL(ERR_CONFIG, "the catalogue %.*s has %u mistake%s", SV_ARG(name), rd.mistakes,
                    rd.mistakes == 1 ? "" : "s");
    *out = c;
    return OK;
}

static err read_file(struct buf *into, const char *path)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return FAIL(ERR_CONFIG, "cannot read %s: %s", path, strerror(errno));
    char chunk[8192];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0 && into->n <= CATALOG_MAX)
        buf_add(into, (sv){chunk, n});
    bool bad = ferror(f) != 0;
    fclose(f);
    if (bad)
        return FAIL(ERR_CONFIG, "cannot read %s", path);
    if (into->n > CATALOG_MAX)
        return FAIL(ERR_CONFIG, "%s is larger than 4 MiB", path);
    return OK;
}

err catalog_load(struct arena *mem, sv path, struct buf *problems, const struct catalog **out)
{
    if (sv_empty(path)) {
        if (access("catalog.json", F_OK) != 0)
            return catalog_parse(mem, catalog_example(), SV("built-in example"), problems, out);
        path = SV("catalog.json");
    }
    BUF_AUTO text = {0};
    err e = read_file(&text, arena_cstr(mem, path));
    if (e != OK) {
        buf_printf(problems, "%s: set CATALOG to a readable JSON file, or unset it\n",
                   err_last()->detail);
        return e;
    }
    return catalog_parse(mem, buf_sv(&text), path, problems, out);
}
