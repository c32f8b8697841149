/* The catalogue: the example is good; every mistake is named with its JSON pointer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "catalog/catalog.h"

static void test_example(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    BUF_AUTO problems = {0};
    const struct catalog *c = NULL;
    assert_int_equal(catalog_parse(mem, catalog_example(), SV("x"), &problems, &c), OK);
    assert_int_equal(problems.n, 0);
    assert_true(sv_is(c->plan_key, "premium"));
    assert_int_equal(c->plan_price.minor, 3200);
    assert_true(currency_eq(c->plan_currency, USD));
    const struct allowance *quiz = &c->allowance[ITEM_QUIZ], *art = &c->allowance[ITEM_ARTICLE];
    assert_int_equal(quiz->limit, 2);
    assert_int_equal(quiz->max_price.minor, 5000);
    assert_int_equal(quiz->discount_percent, 20);
    assert_int_equal(quiz->discount_limit, 3);
    assert_int_equal(art->limit, 3);
    assert_true(art->max_price.minor < 0);
    assert_int_equal(art->discount_percent, 30);
    assert_true(art->discount_limit < 0);
    assert_int_equal(c->ai_free_per_day, 5);
    assert_true(c->nitems >= 12);
    for (size_t i = 0; i < c->nitems; i++)
        assert_ptr_equal(catalog_find(c, c->items[i].id), &c->items[i]);
    assert_int_equal(catalog_find(c, SV("quiz:big-five"))->price.minor, 5000);
    assert_int_equal(catalog_find(c, SV("quiz:values-inventory"))->price.minor, 5001);
    assert_false(catalog_find(c, SV("article:first-steps"))->premium);
    assert_null(catalog_find(c, SV("quiz:none")));
    assert_null(catalog_find(c, SV("")));
    assert_null(catalog_find(c, SV_NULL));
}

static const char good[] =
    "{\"currency\":\"usd\",\"plan\":{\"key\":\"premium\",\"name\":\"P\",\"lookupKey\":\"l\","
    "\"productId\":\"p\",\"price\":3200},\"allowances\":{\"quiz\":{\"limit\":2,\"maxPrice\":5000,"
    "\"discountPercent\":20,\"discountLimit\":3},\"article\":{\"limit\":3,\"maxPrice\":null,"
    "\"discountPercent\":30,\"discountLimit\":null}},\"ai\":{\"freePerDay\":5},"
    "\"items\":[{\"kind\":\"quiz\",\"slug\":\"a\",\"title\":\"A\",\"price\":1900},"
    "{\"kind\":\"article\",\"slug\":\"b\",\"title\":\"B\",\"premium\":true,\"price\":700}]}";

/* What is replaced by what, and the line that must come. */
static const struct {
    const char *from, *to, *line;
} mistakes[] = {
    {"\"usd\"", "\"us\"", "t: /currency: must be three letters"},
    {"\"usd\"", "5", "t: /currency: must be a text"},
    {"\"key\":\"premium\",", "", "t: /plan/key: is missing"},
    {"\"price\":3200", "\"price\":32.5", "t: /plan/price: must be a whole number"},
    {"\"price\":3200", "\"price\":49", "t: /plan/price: must be 50 to"},
    {"\"price\":3200", "\"price\":3200,\"trialDays\":-1", "t: /plan/trialDays: must be 0 to"},
    {"\"name\":\"P\"", "\"name\":\"\"", "t: /plan/name: must have 1 to 100"},
    {"\"name\":\"P\"", "\"name\":\"a\\nb\"", "t: /plan/name: must not hold control"},
    {"\"lookupKey\":\"l\"", "\"lookupKey\":\"L L\"", "t: /plan/lookupKey: may hold"},
    {"\"plan\":{", "\"plan\":{\"pirce\":1,", "t: /plan/pirce: is not a field"},
    {"\"discountPercent\":20", "\"discountPercent\":101",
     "t: /allowances/quiz/discountPercent: must be 0 to 100"},
    {"\"maxPrice\":5000,", "", "t: /allowances/quiz/maxPrice: is missing"},
    {"\"maxPrice\":5000", "\"maxPrice\":\"5000\"", "or null for no bound"},
    {"\"article\":{\"limit\":3", "\"book\":{\"limit\":3", "t: /allowances/article: is missing"},
    {"\"article\":{\"limit\":3", "\"book\":{\"limit\":3", "t: /allowances/book: is not a field"},
    {"\"freePerDay\":5", "\"freePerDay\":null", "t: /ai/freePerDay: must be a whole number"},
    {"\"freePerDay\":5", "\"freePerDay\":5,\"models\":[]", "t: /ai/models: must be an object"},
    {"\"kind\":\"quiz\"", "\"kind\":\"quizz\"", "t: /items/0/kind: must be quiz or article"},
    {"\"slug\":\"a\"", "\"slug\":\"A\"", "t: /items/0/slug: may hold"},
    {"\"slug\":\"b\"", "\"slug\":\"b\",\"x\":1", "t: /items/1/x: is not a field"},
    {"\"price\":1900", "\"price\":-1", "t: /items/0/price: must be 0 to"},
    {"\"price\":1900", "\"price\":49", "t: /items/0/price: is under the smallest charge"},
    {"\"price\":1900", "\"price\":1900,\"premium\":true", "t: /items/0/premium: is for articles"},
    {"\"price\":700", "\"price\":0", "t: /items/1/price: must be above 0"},
    {"\"premium\":true", "\"premium\":false", "t: /items/1/price: must be 0 for an article"},
    {"\"premium\":true", "\"premium\":1", "t: /items/1/premium: must be true or false"},
    {"\"kind\":\"article\",\"slug\":\"b\",\"title\":\"B\",\"premium\":true",
     "\"kind\":\"quiz\",\"slug\":\"a\",\"title\":\"B\"", "quiz:a stands twice: also /items/0"},
    {"\"items\":[", "\"items\":[7,", "t: /items/0: must be an object"},
    {"\"items\":[", "\"things\":[", "t: /items: is missing"},
    {"\"items\":[", "\"items\":[,", "t: line 1"},
};

static sv replaced(struct arena *mem, const char *from, const char *to)
{
    const char *at = strstr(good, from);
    assert_non_null(at);
    return arena_printf(mem, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static void test_mistakes(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    const struct catalog *c = NULL;
    BUF_AUTO none = {0};
    assert_int_equal(catalog_parse(mem, SV(good), SV("t"), &none, &c), OK);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        BUF_AUTO problems = {0};
        const struct catalog *untouched = NULL;
        sv text = replaced(mem, mistakes[i].from, mistakes[i].to);
        assert_int_equal(catalog_parse(mem, text, SV("t"), &problems, &untouched), ERR_CONFIG);
        assert_null(untouched);
        if (!sv_contains(buf_sv(&problems), sv_from(mistakes[i].line)))
            fail_msg("case %zu: expected \"%s\", got: %s", i, mistakes[i].line, problems.p);
    }
}

static void test_every_mistake_at_once(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    BUF_AUTO problems = {0};
    const struct catalog *c = NULL;
    assert_int_equal(catalog_parse(mem, SV("{\"items\":[{}]}"), SV("t"), &problems, &c),
                     ERR_CONFIG);
    sv text = buf_sv(&problems);
    assert_true(sv_contains(text, SV("/plan: is missing")));
    assert_true(sv_contains(text, SV("/allowances: is missing")));
    assert_true(sv_contains(text, SV("/ai: is missing")));
    assert_true(sv_contains(text, SV("/items/0/slug: is missing")));
    assert_true(sv_contains(text, SV("/items/0/price: is missing")));
    assert_int_equal(catalog_parse(mem, SV("[]"), SV("t"), &problems, &c), ERR_CONFIG);
}

static void test_files(void **state)
{
    (void)state;
    ARENA_AUTO mem = arena_new(0);
    BUF_AUTO problems = {0};
    const struct catalog *c = NULL;
    assert_int_equal(catalog_load(mem, SV("/nonexistent/c.json"), &problems, &c), ERR_CONFIG);
    assert_true(sv_contains(buf_sv(&problems), SV("/nonexistent/c.json")));
    char dir[] = "/tmp/catalog-XXXXXX";
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(catalog_load(mem, SV_NULL, &problems, &c), OK);
    assert_true(sv_is(c->source, "built-in example"));
    FILE *f = fopen("catalog.json", "we");
    assert_non_null(f);
    fputs(good, f);
    fclose(f);
    assert_int_equal(catalog_load(mem, SV(""), &problems, &c), OK);
    assert_int_equal(c->nitems, 2);
    assert_int_equal(unlink("catalog.json"), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_every_mistake_at_once),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
