/* mybeing export: everything that is kept of one person, as one JSON document. SPEC §6. */
#include "account/account.h"
#include "base/crypto.h"
#include "base/json.h"
#include "chat/chat_api.h"
#include "cmd/cmd.h"
#include "queries.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAGE 200

struct export
{
    struct app *app;
    sv who;
    ts now;
    struct buf *out;
    struct jw w;
    struct account account;
};

static void write_account(struct jw *w, const struct account *a)
{
    jw_key(w, "account");
    jw_obj(w);
    jw_kstr(w, "id", user_id_sv(&a->id));
    jw_kstr(w, "email", a->email);
    jw_kbool(w, "emailVerified", a->verified);
    jw_kbool(w, "admin", a->admin);
    jw_kstr(w, "name", a->name);
    jw_kstr(w, "locale", a->locale);
    jw_kstr(w, "timezone", a->timezone);
    jw_kstr(w, "legacyId", a->legacy_id);
    jw_kts(w, "createdAt", a->created);
    jw_obj_end(w);
}

/* A list of rows under its name. */
#define LIST(query, name)                                                                          \
    do {                                                                                           \
        struct query##_row *rows;                                                                  \
        size_t n;                                                                                  \
        TRY(q_##query(tx, mem, &(struct query##_in){member}, &rows, &n));                          \
        jw_key(w, name);                                                                           \
        query##_json_array(w, rows, n);                                                            \
    } while (0)

static err write_money(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    LIST(export_customers, "customers");
    LIST(export_payment_methods, "paymentMethods");
    LIST(export_subscriptions, "subscriptions");
    LIST(export_invoices, "invoices");
    LIST(export_payments, "payments");
    LIST(export_refunds, "refunds");
    LIST(export_disputes, "disputes");
    LIST(export_checkout_sessions, "checkoutSessions");
    LIST(export_purchases, "purchases");
    LIST(export_purchase_history, "purchaseHistory");
    return OK;
}

static err write_rights(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    LIST(export_allowance_uses, "allowanceUses");
    LIST(export_discount_slots, "discountSlots");
    LIST(export_discounts, "discounts");
    LIST(export_discount_uses, "discountUses");
    LIST(export_grants, "grants");
    return OK;
}

static err write_traces(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    LIST(export_identities, "identities");
    LIST(export_sessions, "sessions");
    LIST(export_mails, "mails");
    LIST(export_ai_usage, "aiUsage");
    LIST(export_audit, "audit");
    return OK;
}

/* What was answered, unsealed; its id is the context of the seal. */
static err write_checkins(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    struct checkin_list_row *rows;
    size_t n;
    TRY(q_checkin_list(tx, mem, &(struct checkin_list_in){member}, &rows, &n));
    jw_key(w, "checkins");
    jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        sv answers;
        TRY(unseal(mem, rows[i].body, rows[i].id, rows[i].key_id, &answers));
        jw_obj(w);
        jw_kstr(w, "id", rows[i].id);
        jw_kstr(w, "scale", rows[i].scale);
        jw_kopt(w, "score", rows[i].score);
        jw_kstr(w, "answers", answers);
        jw_kts(w, "takenAt", rows[i].taken_at);
        jw_kts(w, "createdAt", rows[i].created_at);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    return OK;
}

/* -------- conversations -------- */

static err write_conversation(struct db_tx *tx, struct arena *mem, const struct chat_owner *owner,
                              sv id, struct jw *w)
{
    struct chat_conversation c;
    TRY(chat_conversation_get(tx, mem, owner, id, &c));
    jw_obj(w);
    jw_kstr(w, "id", c.id);
    jw_kstr(w, "title", c.title);
    jw_kstr(w, "context", c.context);
    jw_kts(w, "createdAt", c.created);
    jw_kts(w, "updatedAt", c.updated);
    jw_obj_end(w);
    return OK;
}

static err write_conversations(struct db_tx *tx, const struct chat_owner *owner, struct jw *w)
{
    ts before = {INT64_MAX};
    char last[64] = "~";
    jw_key(w, "conversations");
    jw_arr(w);
    for (;;) {
        ARENA_AUTO page = arena_new(0);
        struct chat_conversation *list;
        size_t n;
        TRY(chat_conversation_list(tx, page, owner, before, sv_from(last), PAGE, &list, &n));
        for (size_t i = 0; i < n; i++)
            TRY(write_conversation(tx, page, owner, list[i].id, w));
        if (n < PAGE)
            break;
        before = list[n - 1].updated;
        snprintf(last, sizeof last, "%.*s", SV_ARG(list[n - 1].id));
    }
    jw_arr_end(w);
    return OK;
}

static bool write_message(void *arg, const struct chat_conversation *c,
                          const struct chat_message *m)
{
    struct jw *w = arg;
    jw_obj(w);
    jw_kstr(w, "conversationId", c->id);
    jw_kstr(w, "id", m->id);
    jw_kstr(w, "parentId", m->parent);
    jw_kstr(w, "role", m->role);
    jw_kstr(w, "status", m->status);
    jw_kstr(w, "content", m->content);
    jw_kts(w, "createdAt", m->created);
    jw_obj_end(w);
    return true;
}

static err write_chat(struct db_tx *tx, struct arena *mem, sv member, struct jw *w)
{
    struct chat_owner owner = {.id = member, .user_id = member};
    struct chat_reader reader = {
        .message = write_message, .arg = w, .from = {.conversation = SV_NULL}};
    TRY(write_conversations(tx, &owner, w));
    jw_key(w, "messages");
    jw_arr(w);
    TRY(chat_read_all(tx, mem, &owner, &reader));
    jw_arr_end(w);
    return OK;
}

/* -------- the whole -------- */

static err export_tx(struct db_tx *tx, struct arena *mem, void *arg)
{
    struct export *e = arg;
    struct jw *w = &e->w;
    TRY(account_by_name(tx, mem, e->who, &e->account));
    sv member = user_id_sv(&e->account.id);
    buf_clear(e->out); /* the body may be run again */
    *w = (struct jw){.out = e->out};
    jw_obj(w);
    jw_kstr(w, "format", SV("mybeing-export-1"));
    jw_kts(w, "exportedAt", e->now);
    write_account(w, &e->account);
    TRY(write_money(tx, mem, member, w));
    TRY(write_rights(tx, mem, member, w));
    TRY(write_traces(tx, mem, member, w));
    TRY(write_checkins(tx, mem, member, w));
    TRY(write_chat(tx, mem, member, w));
    jw_obj_end(w);
    buf_char(e->out, '\n');
    return OK;
}

/* A person's whole life: nobody else may read the file. */
static err write_file(const char *path, sv text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return FAIL(ERR_CONFLICT, "%s cannot be made: %s", path, strerror(errno));
    FILE *f = fdopen(fd, "w");
    bool ok = fwrite(text.p, 1, text.n, f) == text.n;
    ok = fclose(f) == 0 && ok;
    return ok ? OK : FAIL(ERR_INTERNAL, "%s cannot be written", path);
}

/* mybeing export ID|E-MAIL [FILE] */
int cmd_export(int argc, char **argv)
{
    (void)cmd_flag(&argc, argv, "--json"); /* it prints JSON anyway */
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    if (argc < 2 || argc > 3 || argv[1][0] == '\0')
        return cmd_misused("export ID or E-MAIL [FILE]: of whom?");
    APP_AUTO app = {0};
    ARENA_AUTO mem = arena_new(0);
    BUF_AUTO out = {0};
    if (!cmd_open(&app, false))
        return EXIT_WRONG;
    struct export e = {.app = &app, .who = sv_from(argv[1]), .now = clock_now(), .out = &out};
    err r = db_read(app.db, mem, export_tx, &e);
    if (r == OK && argc == 3)
        r = write_file(argv[2], buf_sv(&out));
    if (r != OK)
        return cmd_failed(r);
    if (argc == 2)
        return fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0 ? EXIT_OK
                                                                               : EXIT_WRONG;
    printf("everything of %s is in %s\n", e.account.id.s, argv[2]);
    return EXIT_OK;
}
