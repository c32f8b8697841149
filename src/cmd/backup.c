/* mybeing backup: a copy that was read back before it gets its name. SPEC §6. */
#include "cmd/backup.h"
#include "base/calendar.h"
#include "cmd/progress.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct backup {
    struct app *app;
    struct arena *mem;
    const char *file, *half;
    struct manifest m;
};

/* BACKUP_DIR (or here) / mybeing-20261129T101500Z.db */
static const char *default_file(struct app *app, struct arena *mem)
{
    char text[TS_TEXT];
    sv at = ts_text(clock_now(), text);
    BUF_AUTO b = {0};
    sv dir = app->set.backup_dir;
    if (!sv_empty(dir))
        buf_printf(&b, "%.*s/", SV_ARG(dir));
    buf_add(&b, SV("mybeing-"));
    for (size_t i = 0; i < at.n && at.p[i] != '.' && at.p[i] != 'Z'; i++)
        if (at.p[i] != '-' && at.p[i] != ':')
            buf_char(&b, at.p[i]);
    buf_printf(&b, "Z.%s", db_engine(app->db) == DB_PG ? "dump" : "db");
    return arena_cstr(mem, buf_sv(&b));
}

/* An older backup may be replaced; anything else that stands there may not. */
static err may_write(struct backup *b)
{
    struct stat there, ours;
    const char *path;
    if (stat(b->file, &there) != 0)
        return errno == ENOENT ? OK : FAIL(ERR_DB, "%s: %s", b->file, strerror(errno));
    TRY(backup_sqlite_path(b->mem, b->app->set.database_url, &path));
    if (path && stat(path, &ours) == 0 && there.st_dev == ours.st_dev &&
        there.st_ino == ours.st_ino)
        return FAIL(ERR_CONFLICT, "%s is the database itself", b->file);
    if (S_ISREG(there.st_mode) && access(manifest_path(b->mem, b->file), F_OK) == 0)
        return OK;
    return FAIL(ERR_CONFLICT, "%s exists and is not a backup: it stays as it is", b->file);
}

static err fill(struct backup *b)
{
    b->m = (struct manifest){
        .engine = db_engine(b->app->db), .program = SV(MYBEING_VERSION), .created = clock_now()};
    err e = backup_write(b->app->db, b->mem, b->app->set.database_url, b->half, progress_show,
                         &b->m.facts);
    progress_end();
    TRY(e);
    return file_digest(b->mem, b->half, &b->m.bytes, &b->m.sha256);
}

/* Without its description a backup can still be restored; with another's it could not. */
static err publish(struct backup *b)
{
    unlink(manifest_path(b->mem, b->file));
    if (rename(b->half, b->file) != 0)
        return FAIL(ERR_DB, "%s cannot be made: %s", b->file, strerror(errno));
    return manifest_write(b->mem, b->file, &b->m);
}

static err make(struct backup *b)
{
    TRY(may_write(b));
    b->half = arena_cstr(b->mem, arena_printf(b->mem, "%s.part", b->file));
    unlink(b->half); /* of a run that was interrupted */
    err e = fill(b);
    if (e == OK)
        return publish(b);
    struct err_info why = *err_last();
    unlink(b->half);
    err_restore(&why);
    return e;
}

/* The backup stands: what the folder holds besides is no reason to call it a failure. */
static int64_t rotate(struct backup *b)
{
    sv dir = b->app->set.backup_dir;
    int64_t gone = 0;
    if (!sv_empty(dir) && backup_rotate(b->mem, arena_cstr(b->mem, dir), b->m.engine, b->file,
                                        b->app->set.backup_keep, &gone) != OK)
        fprintf(stderr, "mybeing: older backups were not deleted: %s\n",
                err_detail(err_last()->code));
    return gone;
}

/* mybeing backup [FILE] [--json] */
int cmd_backup(int argc, char **argv)
{
    bool as_json = cmd_flag(&argc, argv, "--json");
    if (cmd_unknown_flags(argc, argv))
        return EXIT_USAGE;
    if (argc > 2)
        return cmd_misused("backup takes one file");
    APP_AUTO app = {0};
    ARENA_AUTO mem = arena_new(0);
    if (app_open(&app, false) != OK)
        return EXIT_WRONG;
    struct backup b = {
        .app = &app, .mem = mem, .file = argc > 1 ? argv[1] : default_file(&app, mem)};
    err e = make(&b);
    if (e != OK)
        return cmd_failed(e);
    int64_t gone = argc > 1 ? 0 : rotate(&b);
    BUF_AUTO out = {0};
    if (as_json) {
        manifest_text(&out, b.file, &b.m);
        printf("%.*s", SV_ARG(buf_sv(&out)));
    } else {
        printf("saved to %s (%lld bytes, schema %lld, read back and found sound)\n", b.file,
               (long long)b.m.bytes, (long long)b.m.facts.schema);
        if (gone > 0)
            printf("%lld older deleted (BACKUP_KEEP=%lld)\n", (long long)gone,
                   (long long)app.set.backup_keep);
    }
    return EXIT_OK;
}
