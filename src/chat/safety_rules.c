#include "chat/safety_rules.h"

/* Lower case; matched on the text in lower case with typographic apostrophes made plain. */
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
    {"de", "möchte sterben"},
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
    {"es", "hacerme daño"},
    {"es", "cortarme"},
    {"es", "acabar con mi vida"},
    {"fr", "suicide"},
    {"fr", "me tuer"},
    {"fr", "envie de mourir"},
    {"fr", "veux mourir"},
    {"fr", "plus envie de vivre"},
    {"fr", "mettre fin à mes jours"},
    {"fr", "me faire du mal"},
    {"fr", "me scarifier"},
};

#define WINDOW 65536

/* Lower case of ASCII and of the Latin-1 letters of UTF-8; white space as one space. */
static size_t fold(sv text, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n && n < WINDOW - 2; i++) {
        unsigned char c = (unsigned char)text.p[i];
        unsigned char next = i + 1 < text.n ? (unsigned char)text.p[i + 1] : 0;
        if (c == 0xe2 && next == 0x80 && i + 2 < text.n &&
            ((unsigned char)text.p[i + 2] == 0x99 || (unsigned char)text.p[i + 2] == 0x98)) {
            out[n++] = '\'';
            i += 2;
        } else if (c == 0xc3 && next >= 0x80 && next <= 0x9e && next != 0x97) {
            out[n++] = (char)c;
            out[n++] = (char)(next + 0x20);
            i++;
        } else if (c <= ' ') {
            if (n == 0 || out[n - 1] != ' ')
                out[n++] = ' ';
        } else {
            out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
    }
    return n;
}

const char *safety_crisis(sv text)
{
    char folded[WINDOW];
    sv low = {folded, fold(text, folded)};
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (sv_contains(low, sv_from(phrases[i].phrase)))
            return phrases[i].language;
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
