#include "chat/safety_rules.h"

/* As fold() leaves a text: lower case, no accents, plain apostrophes and hyphens. */
static const struct {
    const char *language, *phrase;
} phrases[] = {
    {"en", "kill myself"},
    {"en", "killing myself"},
    {"en", "suicid"},
    {"en", "end my life"},
    {"en", "end it all"},
    {"en", "take my own life"},
    {"en", "taking my own life"},
    {"en", "want to die"},
    {"en", "wanna die"},
    {"en", "want to be dead"},
    {"en", "don't want to be alive"},
    {"en", "dont want to be alive"},
    {"en", "not worth living"},
    {"en", "wish i was dead"},
    {"en", "wish i were dead"},
    {"en", "better off dead"},
    {"en", "better off without me"},
    {"en", "don't want to live"},
    {"en", "dont want to live"},
    {"en", "no reason to live"},
    {"en", "hurt myself"},
    {"en", "hurting myself"},
    {"en", "harm myself"},
    {"en", "harming myself"},
    {"en", "self-harm"},
    {"en", "self harm"},
    {"en", "cut myself"},
    {"en", "cutting myself"},
    {"en", "overdose"},
    {"en", "can't go on"},
    {"en", "cant go on"},
    {"en", "kms"},
    {"de", "selbstmord"},
    {"de", "suizid"},
    {"de", "umbringen"},
    {"de", "nicht mehr leben"},
    {"de", "will sterben"},
    {"de", "mochte sterben"},
    {"de", "moechte sterben"},
    {"de", "bringe mich um"},
    {"de", "bring mich um"},
    {"de", "leben beenden"},
    {"de", "lebensmude"},
    {"de", "das leben nehmen"},
    {"de", "ritzen"},
    {"de", "ritze mich"},
    {"de", "mich verletzen"},
    {"de", "mir etwas antun"},
    {"es", "suicid"},
    {"es", "matarme"},
    {"es", "quitarme la vida"},
    {"es", "quiero morir"},
    {"es", "no quiero vivir"},
    {"es", "no quiero seguir viviendo"},
    {"es", "hacerme dano"},
    {"es", "cortarme"},
    {"es", "acabar con mi vida"},
    {"fr", "suicide"},
    {"fr", "me tuer"},
    {"fr", "envie de mourir"},
    {"fr", "veux mourir"},
    {"fr", "plus envie de vivre"},
    {"fr", "plus vivre"},
    {"fr", "en finir avec la vie"},
    {"fr", "mettre fin a mes jours"},
    {"fr", "me faire du mal"},
    {"fr", "me scarifier"},
};

#define WINDOW  8192
#define OVERLAP 64 /* longer than any phrase */

/* U+00C0 to U+00FF without their accents. */
static const char latin[] = "aaaaaaaceeeeiiiidnooooo*ouuuuytsaaaaaaaceeeeiiiidnooooo/ouuuuyty";

static char plain(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c + 32);
    return c == '`' ? '\'' : (unsigned char)c <= ' ' ? ' ' : c;
}

/* What people's keyboards make of a plain character; '\0' = nothing is left of it (accents that
 * stand alone, what is not seen). Characters of one byte and unknown ones: false. */
static bool variant(sv s, char *out, size_t *bytes)
{
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned code = 0;
    if (s.n >= 2 && p[0] >= 0xc2 && p[0] <= 0xdf)
        code = (p[0] & 0x1fU) << 6 | (p[1] & 0x3fU);
    else if (s.n >= 3 && p[0] >= 0xe0 && p[0] <= 0xef)
        code = (p[0] & 0xfU) << 12 | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU);
    *bytes = code < 0x800 ? 2 : 3;
    if (code >= 0xc0 && code <= 0xff)
        *out = latin[code - 0xc0];
    else if (code == 0xb4 || code == 0x2bc || code == 0x2018 || code == 0x2019)
        *out = '\'';
    else if ((code >= 0x2010 && code <= 0x2015) || code == 0x2212)
        *out = '-';
    else if (code == 0xa0 || (code >= 0x2000 && code <= 0x200a) || code == 0x202f)
        *out = ' ';
    else if (code == 0xad || (code >= 0x300 && code <= 0x36f) || (code >= 0x200b && code <= 0x200d))
        *out = '\0';
    else
        return false;
    return true;
}

/* One after another into out, which holds *n bytes, until it is full; white space becomes one
 * space. How much of the text that was. */
static size_t fold(sv text, char *out, size_t *n)
{
    size_t i = 0;
    while (i < text.n && *n < WINDOW) {
        char c;
        size_t bytes = 1;
        if (!variant((sv){text.p + i, text.n - i}, &c, &bytes)) {
            c = plain(text.p[i]);
            bytes = 1;
        }
        i += bytes;
        if (c != '\0' && (c != ' ' || *n == 0 || out[*n - 1] != ' '))
            out[(*n)++] = c;
    }
    return i;
}

static const char *phrase_in(sv folded)
{
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (sv_contains(folded, sv_from(phrases[i].phrase)))
            return phrases[i].language;
    return NULL;
}

const char *safety_crisis(sv text)
{
    char folded[WINDOW];
    size_t n = 0;
    for (size_t i = 0; i < text.n;) {
        if (n > OVERLAP) {
            memmove(folded, folded + n - OVERLAP, OVERLAP);
            n = OVERLAP;
        }
        i += fold((sv){text.p + i, text.n - i}, folded, &n);
        const char *language = phrase_in((sv){folded, n});
        if (language != NULL)
            return language;
    }
    return NULL;
}

/* Operators should check these for the countries they serve, and may replace them in the catalogue
 * (docs/ops.md): numbers change. */
static const struct {
    const char *country, *name, *phone, *url;
} lines[] = {
    {"US", "988 Suicide & Crisis Lifeline", "988", "https://988lifeline.org"},
    {"CA", "9-8-8 Suicide Crisis Helpline", "988", "https://988.ca"},
    {"GB", "Samaritans", "116 123", "https://www.samaritans.org"},
    {"IE", "Samaritans", "116 123", "https://www.samaritans.org"},
    {"AU", "Lifeline", "13 11 14", "https://www.lifeline.org.au"},
    {"NZ", "1737", "1737", "https://1737.org.nz"},
    {"DE", "TelefonSeelsorge", "0800 1110111", "https://www.telefonseelsorge.de"},
    {"AT", "TelefonSeelsorge", "142", "https://www.telefonseelsorge.at"},
    {"CH", "Die Dargebotene Hand", "143", "https://www.143.ch"},
    {"FR", "Numéro national de prévention du suicide", "3114", "https://3114.fr"},
    {"ES", "Línea 024", "024", "https://www.sanidad.gob.es/linea024"},
    {"", "Find a Helpline", "", "https://findahelpline.com"},
};
#define LINES (sizeof lines / sizeof *lines)

/* "de-AT,de;q=0.9" -> "AT", "zh-Hans-CN" -> "CN"; empty if none is said. */
static sv country_of(sv locale)
{
    size_t start = 0;
    for (size_t i = 0; i <= locale.n; i++) {
        char c = i < locale.n ? locale.p[i] : ',';
        if (c != '-' && c != '_' && c != ',' && c != ';')
            continue;
        if (start > 0 && i - start == 2)
            return (sv){locale.p + start, 2};
        if (c == ',' || c == ';')
            break;
        start = i + 1;
    }
    return SV("");
}

struct help_line safety_help_line(const json *own, sv locale)
{
    sv country = country_of(locale);
    const size_t anywhere = LINES - 1; /* the last one */
    struct help_line found = {sv_from(lines[anywhere].country), sv_from(lines[anywhere].name),
                              sv_from(lines[anywhere].phone), sv_from(lines[anywhere].url)};
    size_t n = own != NULL ? json_len(own) : LINES;
    for (size_t i = 0; i < n; i++) {
        const json *o = own != NULL ? json_at(own, i) : NULL;
        sv at = o != NULL ? json_get_str(o, "country") : sv_from(lines[i].country);
        bool here = at.n > 0 && sv_eq_nocase(at, country);
        if (!here && at.n > 0)
            continue;
        if (o != NULL)
            found = (struct help_line){at, json_get_str(o, "name"), json_get_str(o, "phone"),
                                       json_get_str(o, "url")};
        else
            found = (struct help_line){at, sv_from(lines[i].name), sv_from(lines[i].phone),
                                       sv_from(lines[i].url)};
        if (here)
            break;
    }
    return found;
}

bool safety_phq9_item9(int64_t answer)
{
    return answer > 0;
}

bool safety_notice_due(ts last, ts now)
{
    return ts_is_none(last) || now.ms - last.ms >= SAFETY_NOTICE_EVERY;
}

const char safety_notice_text[] = "You are talking to an AI, not to a person.";

sv safety_system_prompt(bool crisis)
{
    if (crisis)
        return SV("You are a calm companion for wellbeing. You are an AI, not a therapist, and say "
                  "so when asked. The "
                  "person may be in danger. Take it seriously, be warm and brief, do not judge, do "
                  "not discuss methods "
                  "of self-harm in any way. Ask whether they are safe right now. Encourage them to "
                  "contact the help "
                  "line shown beside this chat, emergency services, or somebody they trust.");
    return SV("You are a calm companion for wellbeing. You are an AI, not a therapist, and say so "
              "when asked. Listen, "
              "ask one question at a time, offer small practical steps. Do not diagnose, do not "
              "advise on medication. "
              "If the person may be in danger, encourage them to contact a help line or somebody "
              "they trust.");
}
