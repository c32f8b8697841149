/* Words that raise the help line, however they are typed. */
#include "chat/safety_rules.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

static void however_they_are_typed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *language; /* NULL: nothing of that kind */
    } cases[] = {
        {"I want to KILL\n  MYSELF", "en"},
        {"I don\xe2\x80\x99t want to live", "en"},
        {"I don\xc2\xb4t want to live", "en"},
        {"thoughts of self\xe2\x80\x91harm", "en"},
        {"I want\xc2\xa0to\xe2\x80\xaf"
         "die",
         "en"},
        {"k\xe2\x80\x8bill my\xc2\xadself", "en"},
        {"Ich m\xc3\xb6"
         "chte sterben",
         "de"},
        {"Ich mo\xcc\x88"
         "chte sterben",
         "de"}, /* the accent apart, as some systems write it */
        {"ICH M\xc3\x96"
         "CHTE STERBEN",
         "de"},
        {"ich moechte sterben", "de"},
        {"Quiero hacerme da\xc3\xb1o", "es"},
        {"quiero hacerme dano", "es"},
        {"Mettre fin \xc3\xa0 mes jours", "fr"},
        {"mettre fin a mes jours", "fr"},
        {"I slept well and want to dive", NULL},
        {"\xc3", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = safety_crisis(sv_from(cases[i].text));
        if (got != cases[i].language &&
            (!got || !cases[i].language || strcmp(got, cases[i].language) != 0))
            fail_msg("%s: %s", cases[i].text, got ? got : "nothing");
    }
}

/* The longest message that may come, with the words at every place around the ends of our windows.
 */
static void wherever_they_stand(void **state)
{
    (void)state;
    enum { SIZE = 128000 };
    static char text[SIZE];
    const char words[] = "i wish i were dead";
    const size_t n = sizeof words - 1;
    for (size_t at = 0; at + n<SIZE; at += at> 8000 && at < 8300 ? 1 : 509) {
        memset(text, 'x', SIZE);
        memcpy(text + at, words, n);
        if (safety_crisis((sv){text, SIZE}) == NULL)
            fail_msg("not seen at %zu", at);
    }
    memset(text, 'x', SIZE);
    assert_null(safety_crisis((sv){text, SIZE}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(however_they_are_typed),
        cmocka_unit_test(wherever_they_stand),
    };
    return cmocka_run_group_tests_name("safety", tests, NULL, NULL);
}
