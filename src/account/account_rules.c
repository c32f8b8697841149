#include "account/account_rules.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool alpha(char c)
{
    return lower(c) >= 'a' && lower(c) <= 'z';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

sv account_email_key(struct arena *mem, sv email)
{
    sv trimmed = sv_trim(email);
    char *p = arena_alloc(mem, trimmed.n + 1);
    for (size_t i = 0; i < trimmed.n; i++)
        p[i] = lower(trimmed.p[i]);
    p[trimmed.n] = '\0';
    return (sv){p, trimmed.n};
}

bool account_email_listed(sv list, sv email)
{
    for (sv rest = list; rest.p != NULL && email.n > 0;) {
        sv one = sv_trim(sv_cut(&rest, ','));
        if (sv_eq_nocase(one, email))
            return true;
    }
    return false;
}

/* Those that lists of leaked passwords begin with, at least 8 characters long. */
static const char *const common[] = {
    "12345678",    "123456789",     "1234567890", "password",   "password1",  "password12",
    "password123", "passw0rd",      "p@ssw0rd",   "p@ssword",   "qwerty123",  "qwertyui",
    "qwertyuiop",  "1q2w3e4r",      "1q2w3e4r5t", "1qaz2wsx",   "q1w2e3r4",   "zaq12wsx",
    "abc12345",    "abcd1234",      "a1b2c3d4",   "aa123456",   "1234abcd",   "11111111",
    "111111111",   "00000000",      "88888888",   "87654321",   "987654321",  "0987654321",
    "12341234",    "11223344",      "123123123",  "123321123",  "iloveyou",   "iloveyou1",
    "princess",    "princess1",     "sunshine",   "sunshine1",  "football",   "football1",
    "baseball",    "baseball1",     "basketball", "superman",   "superman1",  "starwars",
    "trustno1",    "welcome1",      "welcome123", "letmein1",   "letmein123", "changeme",
    "changeme1",   "administrator", "admin123",   "admin1234",  "computer",   "internet",
    "whatever",    "michelle",      "jennifer",   "jonathan",   "christian",  "alexander",
    "victoria",    "elizabeth",     "charlotte",  "samantha",   "liverpool",  "chocolate",
    "butterfly",   "sweetheart",    "dragon123",  "monkey123",  "shadow123",  "master123",
    "mustang1",    "qwer1234",      "qwerty12",   "qwerty1234", "asdfghjk",   "asdfghjkl",
    "asdf1234",    "zxcvbnm1",      "zxcvbnm123", "qazwsxedc",  "1qazxsw2",   "1234qwer",
    "123qweasd",   "test1234",      "testtest",   "secret123",  "default1",   "user1234",
    "guest123",    "mybeing1",      "mybeing123", "wellbeing",  "password!",  "password1!",
    "Passw0rd!",
};

static bool is_common(sv password)
{
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (sv_eq_nocase(password, sv_from(common[i])))
            return true;
    return false;
}

static bool one_character(sv s)
{
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] != s.p[0])
            return false;
    return true;
}

const char *account_password_problem(sv password, sv email)
{
    sv rest = email, local = sv_cut(&rest, '@');
    if (sv_utf8_len(password) < 8)
        return "needs at least 8 characters";
    if (password.n > PASSWORD_BYTES_MAX)
        return "may have at most 1000 bytes";
    if (email.n && (sv_eq_nocase(password, email) || sv_eq_nocase(password, local)))
        return "must not be the e-mail address";
    if (is_common(password) || one_character(password))
        return "is one of the first that somebody would guess";
    return NULL;
}

bool account_locale_valid(sv locale)
{
    int part = 0;
    for (sv rest = locale; rest.p != NULL; part++) {
        sv one = sv_cut(&rest, '-');
        if (one.n < (part ? 1u : 2u) || one.n > (part ? 8u : 3u))
            return false;
        for (size_t i = 0; i < one.n; i++)
            if (!alpha(one.p[i]) && (part == 0 || !digit(one.p[i])))
                return false;
    }
    return part > 0 && locale.n <= 35;
}

bool account_timezone_valid(sv timezone)
{
    if (timezone.n == 0 || timezone.n > 64)
        return false;
    for (sv rest = timezone; rest.p != NULL;) {
        sv one = sv_cut(&rest, '/');
        if (one.n == 0 || !alpha(one.p[0]))
            return false;
        for (size_t i = 0; i < one.n; i++)
            if (!alpha(one.p[i]) && !digit(one.p[i]) && strchr("_+-", one.p[i]) == NULL)
                return false;
    }
    return true;
}

static ts window_of(ts now, int64_t length)
{
    int64_t into = now.ms % length;
    return (ts){now.ms - (into < 0 ? into + length : into)};
}

static int64_t window_left(ts now, int64_t length)
{
    int64_t left = window_of(now, length).ms + length - now.ms;
    return (left + TS_SECOND - 1) / TS_SECOND;
}

ts account_login_window(ts now)
{
    return window_of(now, LOGIN_WINDOW);
}

int64_t account_login_wait(ts now)
{
    return window_left(now, LOGIN_WINDOW);
}

ts account_guess_day(ts now)
{
    return window_of(now, TS_DAY);
}

int64_t account_guess_wait(ts now)
{
    return window_left(now, TS_DAY);
}
