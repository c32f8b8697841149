/* Decisions about mail, templates, headers. */
#include "base/calendar.h"
#include "base/crypto.h"
#include "ext/mail.h"
#include "mail/mail_rules.h"
#include "mail/template.h"
#include "test.h"

static struct arena *mem;

static int set_up(void **state)
{
    (void)state;
    mem = arena_new(0);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    arena_free(mem);
    return 0;
}

static void assert_text(sv got, const char *want)
{
    assert_string_equal(arena_cstr(mem, got.p ? got : SV("(null)")), want);
}

/* -------- answers -------- */

static void http_answers(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum mail_outcome outcome;
        bool certain;
    } rows[] = {
        {200, MAIL_ACCEPTED, false}, {202, MAIL_ACCEPTED, false}, {400, MAIL_REFUSED, true},
        {401, MAIL_PAUSE, true},     {403, MAIL_PAUSE, true},     {404, MAIL_REFUSED, true},
        {408, MAIL_RETRY, true},     {413, MAIL_REFUSED, true},   {422, MAIL_REFUSED, true},
        {429, MAIL_RETRY, true},     {500, MAIL_RETRY, false},    {502, MAIL_RETRY, false},
        {503, MAIL_RETRY, true},     {504, MAIL_RETRY, false},    {302, MAIL_RETRY, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mail_verdict v = mail_http_decide(rows[i].status);
        assert_int_equal(v.outcome, rows[i].outcome);
        assert_int_equal(v.certain, rows[i].certain);
    }
}

static void postmark_answers(void **state)
{
    (void)state;
    static const struct {
        int status, code;
        enum mail_outcome outcome;
    } rows[] = {
        {200, 0, MAIL_ACCEPTED},  {200, 300, MAIL_REFUSED},    {200, 406, MAIL_SUPPRESSED},
        {401, 10, MAIL_PAUSE},    {503, 100, MAIL_PAUSE},      {422, 300, MAIL_REFUSED},
        {422, 400, MAIL_PAUSE},   {422, 401, MAIL_PAUSE},      {422, 405, MAIL_PAUSE},
        {422, 402, MAIL_REFUSED}, {422, 406, MAIL_SUPPRESSED}, {422, 409, MAIL_REFUSED},
        {422, 412, MAIL_PAUSE},   {422, 413, MAIL_PAUSE},      {429, 429, MAIL_RETRY},
        {500, 0, MAIL_RETRY},     {422, 411, MAIL_REFUSED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(mail_postmark_decide(rows[i].status, rows[i].code).outcome,
                         rows[i].outcome);
}

static void smtp_answers(void **state)
{
    (void)state;
    assert_int_equal(mail_smtp_decide(250).outcome, MAIL_ACCEPTED);
    assert_int_equal(mail_smtp_decide(421).outcome, MAIL_RETRY);
    assert_int_equal(mail_smtp_decide(451).outcome, MAIL_RETRY);
    assert_int_equal(mail_smtp_decide(550).outcome, MAIL_REFUSED);
    assert_int_equal(mail_smtp_decide(535).outcome, MAIL_PAUSE);
    assert_int_equal(mail_silence_decide(true).outcome, MAIL_IN_DOUBT);
    assert_int_equal(mail_silence_decide(false).outcome, MAIL_RETRY);
    assert_true(mail_silence_decide(false).certain);
    assert_false(mail_silence_decide(true).certain);
}

static void retry_times(void **state)
{
    (void)state;
    ts now = ts_from_unix(1790000000);
    static const struct {
        const char *after, *reset;
        int64_t seconds; /* -1: none */
    } rows[] = {
        {"120", NULL, 120},       {" 5 ", NULL, 5},
        {"0", NULL, 0},           {"99999999", NULL, 6 * 3600},
        {NULL, "1790000060", 60}, {NULL, "1790999999", 6 * 3600},
        {NULL, "100", 0},         {"7", "1790000060", 7},
        {"soon", NULL, -1},       {"-5", NULL, -1},
        {NULL, NULL, -1},         {"Mon, 21 Sep 2026 14:14:20 GMT", NULL, 60},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ts at = mail_retry_at(sv_from(rows[i].after), sv_from(rows[i].reset), now);
        if (rows[i].seconds < 0)
            assert_true(ts_is_none(at));
        else
            assert_int_equal(at.ms - now.ms, rows[i].seconds * 1000);
    }
    static const int64_t waits[] = {30, 120, 600, 1800, 7200, 21600, 21600};
    for (int64_t i = 1; i <= 7; i++) {
        assert_int_equal(mail_retry_ms(i, 200), waits[i - 1] * 1000);
        assert_int_equal(mail_retry_ms(i, 0), waits[i - 1] * 800);
        assert_int_equal(mail_retry_ms(i, 400), waits[i - 1] * 1200);
    }
}

static void steps(void **state)
{
    (void)state;
    ts t0 = {1000000}, none = TS_NONE, later = {2000000};
    const struct {
        struct mail_facts f;
        enum mail_step want;
    } rows[] = {
        {{MAIL_QUEUED, false, false, none, none, later}, STEP_SEND},
        {{MAIL_QUEUED, false, false, later, none, later}, STEP_EXPIRE},
        {{MAIL_QUEUED, false, false, {2000001}, none, later}, STEP_SEND},
        {{MAIL_SENDING, false, false, none, none, later}, STEP_DOUBT},
        {{MAIL_SENDING, true, false, none, none, later}, STEP_SEND},
        {{MAIL_SENDING, false, true, none, none, later}, STEP_SEND},
        {{MAIL_STATE_DOUBT, false, false, none, {2000001}, later}, STEP_WAIT},
        {{MAIL_STATE_DOUBT, false, false, none, later, later}, STEP_SEND},
        {{MAIL_STATE_DOUBT, true, false, none, {2000001}, later}, STEP_SEND},
        {{MAIL_STATE_DOUBT, true, false, later, {2000001}, later}, STEP_EXPIRE},
        {{MAIL_STATE_ACCEPTED, false, false, later, none, later}, STEP_DONE},
        {{MAIL_DELIVERED, false, false, none, none, later}, STEP_DONE},
        {{MAIL_FAILED, false, false, none, none, later}, STEP_DONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(mail_step_decide(&rows[i].f), rows[i].want);
    assert_false(mail_give_up(t0, ts_add(t0, 72 * TS_HOUR)));
    assert_true(mail_give_up(t0, ts_add(t0, 72 * TS_HOUR + 1)));
    for (int s = 0; s < MAIL_STATES; s++)
        assert_int_equal(mail_state_parse(sv_from(mail_state_name((enum mail_state)s))), s);
    assert_int_equal(mail_state_parse(SV("sunk")), MAIL_STATES);
}

/* -------- headers -------- */

static void header_words(void **state)
{
    (void)state;
    assert_text(mail_header_encode(mem, SV("Plain subject"), 9), "Plain subject");
    assert_text(mail_header_encode(mem, SV("Zoë"), 9), "=?UTF-8?B?Wm/Dqw==?=");
    assert_text(mail_header_encode(mem, SV("a =?x?= b"), 9), "=?UTF-8?B?YSA9P3g/PSBi?=");
    assert_text(mail_header_name(mem, SV("A \"B\" \\"), 4), "\"A \\\"B\\\" \\\\\"");
    /* Every word at most 75 characters and whole characters alone in it. */
    BUF_AUTO text = {0};
    for (int i = 0; i < 60; i++)
        buf_add(&text, i % 3 ? SV("日") : SV("é🙂"));
    sv rest = mail_header_encode(mem, buf_sv(&text), 9);
    BUF_AUTO back = {0};
    while (rest.p) {
        sv word = sv_trim(sv_cut(&rest, '\n')), bytes;
        assert_true(word.n <= 75);
        assert_true(sv_starts(word, SV("=?UTF-8?B?")) && sv_ends(word, SV("?=")));
        assert_true(crypto_b64_decode(mem, (sv){word.p + 10, word.n - 12}, &bytes));
        assert_true(sv_valid_utf8(bytes));
        buf_add(&back, bytes);
    }
    assert_true(sv_eq(buf_sv(&back), buf_sv(&text)));
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* NULL: refused */
    } rows[] = {
        {"a@b.org", "a@b.org"},
        {"A.b+c@Example.ORG", "A.b+c@example.org"},
        {"zoe@bücher.example", "zoe@xn--bcher-kva.example"},
        {"zoë@b.org", NULL},
        {"a@b.org\r\nBcc: c@d.org", NULL},
        {"a\tb@c.org", NULL},
        {"a b@c.org", NULL},
        {"<a@b.org>", NULL},
        {"a@b@c.org", NULL},
        {"a@", NULL},
        {"@b.org", NULL},
        {"ab.org", NULL},
        {"a,b@c.org", NULL},
        {".a@b.org", NULL},
        {"a..b@c.org", NULL},
        {"a@b..org", NULL},
        {"a@b/c", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sv out = SV("untouched");
        err e = mail_address(mem, sv_from(rows[i].in), &out);
        assert_int_equal(e, rows[i].out ? OK : ERR_VALIDATION);
        assert_text(out, rows[i].out ? rows[i].out : "untouched");
    }
    sv name, address;
    assert_int_equal(mail_address_named(mem, SV("\"My, Being\" <hello@x.org>"), &name, &address),
                     OK);
    assert_text(name, "My, Being");
    assert_text(address, "hello@x.org");
    assert_int_equal(mail_address_named(mem, SV("hello@x.org"), &name, &address), OK);
    assert_null(name.p);
}

static void message_checked(void **state)
{
    (void)state;
    const struct mail_message good = {.id = SV("eml_1"),
                                      .from = SV("a@x.org"),
                                      .to = SV("b@y.org"),
                                      .subject = SV("s"),
                                      .text = SV("t"),
                                      .html = SV("h")};
    struct mail_message m = good;
    assert_int_equal(mail_message_check(mem, &m), OK);
    static const sv bad[] = {{"a\rb", 3}, {"a\nb", 3}, {"a\0b", 3}, {"a\x7f", 2}, {"\xff", 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        m = good, m.subject = bad[i];
        assert_int_equal(mail_message_check(mem, &m), ERR_VALIDATION);
        m = good, m.to_name = bad[i];
        assert_int_equal(mail_message_check(mem, &m), ERR_VALIDATION);
        m = good, m.from_name = bad[i];
        assert_int_equal(mail_message_check(mem, &m), ERR_VALIDATION);
        m = good, m.unsubscribe_url = bad[i];
        assert_int_equal(mail_message_check(mem, &m), ERR_VALIDATION);
    }
    m = good, m.text = (sv){"a\0b", 3};
    assert_int_equal(mail_message_check(mem, &m), ERR_VALIDATION);
    m = good, m.html = SV("");
    assert_int_equal(mail_message_check(mem, &m), ERR_VALIDATION);
}

/* -------- templates -------- */

static void mustache(void **state)
{
    (void)state;
    const json *vars;
    assert_int_equal(
        json_parse(
            mem,
            SV("{\"n\":\"<A & \\\"B\\\">\",\"i\":7,\"yes\":true,\"no\":false,\"empty\":[],"
               "\"list\":[{\"t\":\"x\"},{\"t\":\"y\"}],\"o\":{\"t\":\"z\"},\"s\":[\"p\",\"q\"],"
               "\"tag\":\"{{n}}\"}"),
            &vars),
        OK);
    static const struct {
        const char *in;
        enum template_mode mode;
        const char *out, *missing;
    } rows[] = {
        {"a {{n}} b", TEMPLATE_HTML, "a &lt;A &amp; &quot;B&quot;&gt; b", ""},
        {"a {{n}} b", TEMPLATE_TEXT, "a <A & \"B\"> b", ""},
        {"{{{n}}}{{&n}}", TEMPLATE_HTML, "<A & \"B\"><A & \"B\">", ""},
        {"{{ i }}", TEMPLATE_HTML, "7", ""},
        {"{{#yes}}1{{/yes}}{{#no}}2{{/no}}{{^no}}3{{/no}}{{^yes}}4{{/yes}}{{^gone}}5{{/gone}}",
         TEMPLATE_TEXT, "135", ""},
        {"{{#list}}{{t}},{{/list}}{{^empty}}none{{/empty}}{{#empty}}x{{/empty}}", TEMPLATE_TEXT,
         "x,y,none", ""},
        {"{{#o}}{{t}}{{n}}{{/o}}{{o.t}}", TEMPLATE_TEXT, "z<A & \"B\">z", ""},
        {"{{#s}}[{{.}}]{{/s}}", TEMPLATE_TEXT, "[p][q]", ""},
        {"x{{! a comment }}y", TEMPLATE_TEXT, "xy", ""},
        {"a\n{{#yes}}\nb\n{{/yes}}\nc\n", TEMPLATE_TEXT, "a\nb\nc\n", ""},
        {"a\n  {{! gone }}  \nc", TEMPLATE_TEXT, "a\nc", ""},
        {"{{tag}}", TEMPLATE_TEXT, "{{n}}", ""}, /* what a value holds is never a template */
        {"{{gone}}{{gone}}{{o.gone}}", TEMPLATE_TEXT, "", "gone, o.gone"},
        {"{{#list}}{{#yes}}{{t}}{{/yes}}{{/list}}", TEMPLATE_TEXT, "xy", ""},
        {"{{> _button_close.html}}", TEMPLATE_HTML, "</a></td></tr></table>\n", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BUF_AUTO out = {0};
        BUF_AUTO missing = {0};
        struct template_ctx c = {
            .mem = mem, .mode = rows[i].mode, .stack = {vars}, .depth = 1, .missing = &missing};
        assert_int_equal(template_render(&c, sv_from(rows[i].in), &out), OK);
        assert_text(buf_sv(&out), rows[i].out);
        if (*rows[i].missing && !sv_contains(buf_sv(&missing), SV("o.gone")))
            assert_text(buf_sv(&missing), rows[i].missing);
        else if (!*rows[i].missing)
            assert_int_equal(missing.n, 0);
    }
    static const char *const bad[] = {
        "{{n",          "{{#n}}",        "{{/n}}",     "{{}}",
        "{{#a}}{{/b}}", "{{> no_such}}", "{{> ../x}}", "{{#yes}}{{#yes}}{{/yes}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        BUF_AUTO out = {0};
        struct template_ctx c = {.mem = mem, .stack = {vars}, .depth = 1};
        assert_int_equal(template_render(&c, sv_from(bad[i]), &out), ERR_VALIDATION);
    }
}

static void all_templates(void **state)
{
    (void)state;
    static const char *const wanted[] = {"verify_email",
                                         "welcome",
                                         "magic_link",
                                         "password_reset",
                                         "receipt",
                                         "refund",
                                         "subscription_started",
                                         "payment_failed",
                                         "trial_ending",
                                         "email_change",
                                         "payment_action_required",
                                         "subscription_ending",
                                         "subscription_ended",
                                         "purchase_failed",
                                         "discount_granted",
                                         "checkin_reminder",
                                         "security_notice"};
    const char *const *names;
    size_t n = template_names(&names);
    const json *common;
    assert_int_equal(json_parse(mem, SV("{\"product\":\"P\",\"baseUrl\":\"https://x\"}"), &common),
                     OK);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        bool there = false;
        for (size_t k = 0; k < n; k++)
            there = there || strcmp(names[k], wanted[i]) == 0;
        assert_true(there);
        const json *vars = template_sample(mem, wanted[i]);
        assert_non_null(vars);
        struct mail_text text;
        assert_int_equal(template_mail(mem, sv_from(wanted[i]), common, vars, &text), OK);
        assert_int_equal(text.missing.n, 0);
        assert_false(sv_has_control(text.subject));
        assert_false(sv_contains(text.html, SV("{{")) || sv_contains(text.text, SV("{{")));
    }
    struct mail_text text;
    const json *none;
    assert_int_equal(json_parse(mem, SV("{}"), &none), OK);
    assert_int_equal(template_mail(mem, SV("magic_link"), common, none, &text), OK);
    assert_text(text.missing, "url");
    assert_int_equal(template_mail(mem, SV("no_such"), common, none, &text), ERR_NOT_FOUND);
}

/* -------- events -------- */

static void events(void **state)
{
    (void)state;
    assert_int_equal(mail_sendgrid_event(SV("bounce"), SV("blocked")).state, MAIL_DEFERRED);
    assert_null(mail_sendgrid_event(SV("bounce"), SV("blocked")).suppress);
    assert_int_equal(mail_sendgrid_event(SV("bounce"), SV("bounce")).state, MAIL_BOUNCED);
    assert_string_equal(mail_sendgrid_event(SV("bounce"), SV("bounce")).suppress, "all");
    assert_string_equal(mail_sendgrid_event(SV("spamreport"), SV_NULL).suppress, "all");
    assert_string_equal(mail_sendgrid_event(SV("group_unsubscribe"), SV_NULL).suppress, "optional");
    assert_string_equal(mail_sendgrid_event(SV("group_resubscribe"), SV_NULL).lift, "optional");
    assert_int_equal(mail_sendgrid_event(SV("brand_new"), SV_NULL).kind, EVENT_IGNORED);
    struct mail_event_words w = {.record_type = SV("Bounce"), .type = SV("HardBounce")};
    assert_int_equal(mail_postmark_event(&w).state, MAIL_BOUNCED);
    w.type = SV("Transient");
    assert_int_equal(mail_postmark_event(&w).state, MAIL_DEFERRED);
    w.inactive = true;
    assert_int_equal(mail_postmark_event(&w).state, MAIL_BOUNCED);
    w = (struct mail_event_words){.record_type = SV("SubscriptionChange"),
                                  .suppression_reason = SV("ManualSuppression"),
                                  .suppress_sending = true,
                                  .broadcast = true};
    assert_string_equal(mail_postmark_event(&w).suppress, "optional");
    w.suppression_reason = SV("HardBounce");
    assert_string_equal(mail_postmark_event(&w).suppress, "all");
    w.suppress_sending = false;
    assert_string_equal(mail_postmark_event(&w).lift, "optional");
}

int main(void)
{
    crypto_init();
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(http_answers), T(postmark_answers), T(smtp_answers), T(retry_times),
        T(steps),        T(header_words),     T(addresses),    T(message_checked),
        T(mustache),     T(all_templates),    T(events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
