/* Libraries that are loaded later: found, not found, too old. */
#include "base/library.h"
#include "test.h"

#include <string.h>

static const char *const known[] = {"zlibVersion", "crc32"}, *const unknown[] = {"crc32",
                                                                                 "no_such"};
static void *functions[2];
/* Of the C library's neighbours, one that nothing here is linked with. */
#define LIBRARY(soname, list)                                                                      \
    {                                                                                              \
        .file = (soname), .package = "zlib1g", .names = (list), .functions = functions, .n = 2,    \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                          \
    }

static void *load_it(void *arg)
{
    return library_load(arg) == OK ? arg : NULL;
}

static void found(void **state)
{
    (void)state;
    struct library l = LIBRARY("libz.so.1", known);
    pthread_t threads[4];
    assert_int_equal(library_find(&l), OK);
    assert_false(l.loaded); /* only looked */
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_it, &l), 0);
    for (size_t i = 0; i < 4; i++) {
        void *got;
        pthread_join(threads[i], &got);
        assert_ptr_equal(got, &l);
    }
    const char *(*version)(void);
    memcpy(&version, &functions[0], sizeof version);
    assert_memory_equal(version(), "1.", 2);
}

static void missing(void **state)
{
    (void)state;
    struct library l = LIBRARY("libnone.so.7", known);
    assert_int_equal(library_find(&l), ERR_CONFIG);
    assert_int_equal(library_load(&l), ERR_CONFIG);
    assert_non_null(strstr(err_last()->detail, "libnone.so.7 is needed"));
    assert_non_null(strstr(err_last()->detail, "install the package zlib1g"));
    l.file = "libz.so.1"; /* it was installed meanwhile */
    assert_int_equal(library_load(&l), OK);
}

static void too_old(void **state)
{
    (void)state;
    struct library l = LIBRARY("libz.so.1", unknown);
    assert_int_equal(library_load(&l), ERR_CONFIG);
    assert_non_null(strstr(err_last()->detail, "no_such"));
    assert_false(l.loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(found), cmocka_unit_test(missing),
                                       cmocka_unit_test(too_old)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
