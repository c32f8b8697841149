/* The yardstick of the database paths: the program's own statements in a bare loop on SQLite, one
 * thread, no HTTP, no JSON.
 *
 *     raw_loop DATABASE SECONDS GROUP CALLERS STATEMENTS        prints what it measured as JSON
 *
 * CALLERS: lines "hash of a token in hex, member's id". STATEMENTS: lines "name SQL": a request is
 * all of them once, in order, their parameters bound by name. GROUP 0: requests that read, under
 * one snapshot; else requests that write, so many to a commit, with the server's settings. */
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_STATEMENTS 32
#define MAX_CALLERS    100000

struct statement {
    char name[64];
    sqlite3_stmt *st;
};
struct caller {
    unsigned char hash[32];
    char id[64];
};
struct ids { /* of the request that is under way */
    const struct caller *caller;
    char conversation[64], message[64];
    int depth;
};

static sqlite3 *db;
static struct statement statements[MAX_STATEMENTS];
static int statements_n;
static struct caller callers[MAX_CALLERS];
static size_t callers_n;
static int64_t now_ms;
static char words[2][400];
static unsigned long made;

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, db ? sqlite3_errmsg(db) : "");
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sql(const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        die(text);
}

static void read_callers(const char *path)
{
    FILE *f = fopen(path, "r");
    char hex[65];
    if (!f)
        die(path);
    while (callers_n < MAX_CALLERS && fscanf(f, "%64s %63s", hex, callers[callers_n].id) == 2) {
        for (int i = 0; i < 32; i++)
            sscanf(hex + 2 * i, "%2hhx", &callers[callers_n].hash[i]);
        callers_n++;
    }
    fclose(f);
}

static void read_statements(const char *path)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    if (!f)
        die(path);
    while (getline(&line, &cap, f) > 0 && statements_n < MAX_STATEMENTS) {
        struct statement *s = &statements[statements_n++];
        int at = 0;
        sscanf(line, "%63s %n", s->name, &at);
        if (sqlite3_prepare_v3(db, line + at, -1, SQLITE_PREPARE_PERSISTENT, &s->st, NULL) !=
            SQLITE_OK)
            die(line);
    }
    free(line);
    fclose(f);
}

static void new_id(char out[64], const char *kind)
{
    uint64_t mix = (made + 1) * 0x9e3779b97f4a7c15u;
    snprintf(out, 64, "%s_%08x-%04x-7%03x-%04x-%012lx", kind, (unsigned)(now_ms >> 16),
             (unsigned)(now_ms & 0xffff), (unsigned)(made >> 16 & 0xfff), (unsigned)(mix >> 48),
             (unsigned long)(made & 0xffffffffffff));
    made++;
}

/* The text of a parameter, or NULL. */
static const char *text_of(const char *name, const char *in, struct ids *r)
{
    bool message = strstr(in, "message") != NULL;
    if (strcmp(name, "$id") == 0)
        return message ? r->message : strstr(in, "conversation") ? r->conversation : r->caller->id;
    if (strcmp(name, "$conversation_id") == 0)
        return r->conversation;
    if (strcmp(name, "$active_leaf") == 0)
        return r->message;
    if (strcmp(name, "$before_id") == 0)
        return "~";
    if (strcmp(name, "$title") == 0)
        return "I sleep badly, since weeks. I sleep badly, since weeks.";
    if (strcmp(name, "$title_source") == 0)
        return "auto";
    if (strcmp(name, "$role") == 0)
        return r->depth ? "assistant" : "user";
    if (strcmp(name, "$status") == 0)
        return "complete";
    if (strcmp(name, "$member") == 0 || strcmp(name, "$owner") == 0 ||
        strcmp(name, "$user_id") == 0 || strcmp(name, "$account_id") == 0)
        return r->caller->id;
    return NULL;
}

static bool number_of(const char *name, const struct ids *r, int64_t *out)
{
    if (strcmp(name, "$now") == 0 || strcmp(name, "$period_end") == 0)
        *out = now_ms;
    else if (strcmp(name, "$before_at") == 0)
        *out = INT64_MAX;
    else if (strcmp(name, "$n") == 0)
        *out = 21;
    else if (strcmp(name, "$depth") == 0)
        *out = r->depth;
    else if (strcmp(name, "$key_id") == 0 || strcmp(name, "$title_key") == 0)
        *out = 0;
    else
        return false;
    return true;
}

static void bind(const struct statement *s, struct ids *r, const char *parent)
{
    for (int i = 1; i <= sqlite3_bind_parameter_count(s->st); i++) {
        const char *name = sqlite3_bind_parameter_name(s->st, i), *text;
        int64_t number;
        if (strcmp(name, "$token_hash") == 0)
            sqlite3_bind_blob(s->st, i, r->caller->hash, 32, SQLITE_STATIC);
        else if (strcmp(name, "$body") == 0)
            sqlite3_bind_blob(s->st, i, words[r->depth & 1], (int)strlen(words[r->depth & 1]),
                              SQLITE_STATIC);
        else if (strcmp(name, "$parent_id") == 0 && parent)
            sqlite3_bind_text(s->st, i, parent, -1, SQLITE_STATIC);
        else if ((text = text_of(name, s->name, r)))
            sqlite3_bind_text(s->st, i, text, -1, SQLITE_STATIC);
        else if (number_of(name, r, &number))
            sqlite3_bind_int64(s->st, i, number);
        else
            sqlite3_bind_null(s->st, i);
    }
}

/* Reads every column of every row, as a program must. */
static size_t step(const struct statement *s)
{
    int rc;
    size_t bytes = 0;
    while ((rc = sqlite3_step(s->st)) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(s->st); i++)
            bytes += sqlite3_column_type(s->st, i) == SQLITE_INTEGER
                         ? (size_t)sqlite3_column_int64(s->st, i) & 7
                         : (sqlite3_column_text(s->st, i), (size_t)sqlite3_column_bytes(s->st, i));
    if (rc != SQLITE_DONE)
        die(s->name);
    sqlite3_reset(s->st);
    return bytes;
}

static size_t one_request(const struct caller *c)
{
    struct ids r = {.caller = c};
    char parent[64] = "";
    size_t bytes = 0;
    for (int i = 0; i < statements_n; i++) {
        const struct statement *s = &statements[i];
        if (strstr(s->name, "conversation_put"))
            new_id(r.conversation, "conv");
        bool put = strstr(s->name, "message_put") != NULL;
        if (put) {
            strcpy(parent, r.message);
            r.depth = parent[0] != '\0';
            new_id(r.message, "msg");
        }
        bind(s, &r, parent[0] ? parent : NULL);
        bytes += step(s);
    }
    return bytes;
}

static void open_database(const char *path, bool writes)
{
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        die(path);
    sqlite3_busy_timeout(db, 10000);
    sql("PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY");
    if (!writes)
        sql("PRAGMA mmap_size=2147418112"); /* the most there is; the server maps its file too */
    else
        sql("PRAGMA synchronous=FULL; PRAGMA cache_size=-8192; PRAGMA wal_autocheckpoint=8192");
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    long group = atol(argv[3]), requests = 0;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    now_ms = (int64_t)wall.tv_sec * 1000;
    made = (unsigned long)wall.tv_nsec / 1000 << 20; /* ids differ from the last run's */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    memset(words[0], 'a', 112);
    memset(words[1], 'b', 304);
    open_database(argv[1], group > 0);
    read_callers(argv[4]);
    read_statements(argv[5]);
    if (callers_n == 0 || statements_n == 0)
        die("nothing to do");
    size_t bytes = 0;
    clock_t cpu = clock();
    double start = now(), end = start + atof(argv[2]);
    if (group == 0)
        sql("BEGIN");
    while (now() < end) {
        if (group > 0)
            sql("BEGIN IMMEDIATE");
        for (long i = 0; i < (group > 0 ? group : 64); i++)
            bytes += one_request(&callers[(size_t)requests++ * 7919 % callers_n]);
        if (group > 0)
            sql("COMMIT");
    }
    double took = now() - start;
    printf("{\"answers\":%ld,\"per_second\":%.1f,\"cpu_us\":%.3f,\"bytes\":%zu}\n", requests,
           (double)requests / took,
           (double)(clock() - cpu) / CLOCKS_PER_SEC / (double)requests * 1e6, bytes);
    return 0;
}
