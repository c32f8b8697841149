#include "base/calendar.h"
#include "base/crypto.h"
#include "base/json.h"
#include "cmd/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT "mybeing-backup-1"

const char *manifest_path(struct arena *mem, const char *file)
{
    return arena_cstr(mem, arena_printf(mem, "%s.json", file));
}

/* -------- a file's bytes -------- */

static err map_file(const char *file, void **map, size_t *n)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    struct stat st = {0};
    *map = MAP_FAILED;
    if (fd < 0 || fstat(fd, &st) != 0) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return FAIL(ERR_NOT_FOUND, "%s cannot be read: %s", file, strerror(why));
    }
    *n = (size_t)st.st_size;
    if (S_ISREG(st.st_mode) && *n > 0)
        *map = mmap(NULL, *n, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return *map == MAP_FAILED ? FAIL(ERR_BAD_REQUEST, "%s is empty, or not a file", file) : OK;
}

err file_digest(struct arena *mem, const char *file, int64_t *bytes, sv *sha256)
{
    void *map;
    size_t n;
    TRY(map_file(file, &map, &n));
    struct digest d = crypto_sha256((sv){map, n});
    munmap(map, n);
    *bytes = (int64_t)n;
    *sha256 = crypto_hex(mem, (sv){(const char *)d.b, sizeof d.b});
    return OK;
}

/* -------- writing -------- */

void manifest_text(struct buf *out, const char *file, const struct manifest *m)
{
    struct jw w = {.out = out};
    jw_obj(&w);
    jw_kstr(&w, "format", SV(FORMAT));
    jw_kstr(&w, "file", sv_from(file));
    jw_kstr(&w, "engine", m->engine == DB_PG ? SV("postgresql") : SV("sqlite"));
    jw_kstr(&w, "program", m->program);
    jw_kts(&w, "createdAt", m->created);
    jw_kint(&w, "schema", m->facts.schema);
    jw_kint(&w, "bytes", m->bytes);
    jw_kstr(&w, "sha256", m->sha256);
    jw_key(&w, "rows");
    jw_obj(&w);
    for (size_t i = 0; i < m->facts.n; i++) {
        jw_key_sv(&w, m->facts.counts[i].table);
        jw_int(&w, m->facts.counts[i].rows);
    }
    jw_obj_end(&w);
    jw_obj_end(&w);
    buf_char(out, '\n');
}

static err write_all(const char *path, sv text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    return ok ? OK : FAIL(ERR_DB, "%s cannot be written: %s", path, strerror(why));
}

err manifest_write(struct arena *mem, const char *file, const struct manifest *m)
{
    BUF_AUTO text = {0};
    const char *path = manifest_path(mem, file);
    const char *half = arena_cstr(mem, arena_printf(mem, "%s.part", path));
    manifest_text(&text, file, m);
    TRY(write_all(half, buf_sv(&text)));
    if (rename(half, path) != 0)
        return FAIL(ERR_DB, "%s cannot be made: %s", path, strerror(errno));
    return OK;
}

/* -------- reading -------- */

static err manifest_of(struct arena *mem, const char *path, const json *j, struct manifest *out)
{
    struct manifest m = {.program = json_get_str(j, "program"),
                         .sha256 = json_get_str(j, "sha256"),
                         .bytes = json_get_int(j, "bytes", -1),
                         .created = TS_NONE,
                         .facts = {.schema = json_get_int(j, "schema", -1)}};
    const json *rows = json_get(j, "rows");
    if (!sv_is(json_get_str(j, "format"), FORMAT) || !m.sha256.p || m.bytes < 0)
        return FAIL(ERR_BAD_REQUEST, "%s is not the description of a backup", path);
    m.engine = sv_is(json_get_str(j, "engine"), "postgresql") ? DB_PG : DB_SQLITE;
    struct backup_count *c = ARENA_ARRAY(mem, struct backup_count, json_len(rows) + 1);
    for (struct json_iter it = json_iter(rows); json_next(&it);)
        c[m.facts.n++] = (struct backup_count){it.key, json_int(it.value, -1)};
    m.facts.counts = c;
    *out = m;
    return OK;
}

err manifest_read(struct arena *mem, const char *file, struct manifest *out)
{
    const char *path = manifest_path(mem, file);
    const json *j;
    void *map;
    size_t n;
    TRY(map_file(path, &map, &n));
    sv text = arena_sv(mem, (sv){map, n});
    munmap(map, n);
    if (json_parse(mem, text, &j) != OK)
        return FAIL(ERR_BAD_REQUEST, "%s is not the description of a backup", path);
    return manifest_of(mem, path, j, out);
}
