/* BACKUP_KEEP: the newest stay. Deleted is only what `mybeing backup` made and finished: its own
 * name, a plain file, and beside it a description that fits. */
#include "cmd/backup.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATTERN "mybeing-00000000T000000Z" /* 0: any digit */

static bool name_is_ours(sv name, enum db_engine engine)
{
    sv end = engine == DB_PG ? SV(".dump") : SV(".db"), pattern = SV(PATTERN);
    if (name.n != pattern.n + end.n || !sv_ends(name, end))
        return false;
    for (size_t i = 0; i < pattern.n; i++) {
        char c = name.p[i] >= '0' && name.p[i] <= '9' ? '0' : name.p[i];
        if (c != pattern.p[i])
            return false;
    }
    return true;
}

static bool complete(struct arena *mem, const char *file, enum db_engine engine)
{
    struct stat st;
    struct manifest m;
    if (lstat(file, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    bool fits =
        manifest_read(mem, file, &m) == OK && m.engine == engine && m.bytes == (int64_t)st.st_size;
    err_clear();
    return fits;
}

static int newest_first(const void *a, const void *b)
{
    return strcmp(*(const char *const *)b, *(const char *const *)a);
}

/* All finished ones of the folder, by the time in their names. */
static err list(struct arena *mem, const char *dir, enum db_engine engine, const char ***out,
                size_t *n)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return FAIL(ERR_DB, "%s cannot be read: %s", dir, strerror(errno));
    size_t room = 64, count = 0;
    const char **files = ARENA_ARRAY(mem, const char *, room);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        const char *file = arena_cstr(mem, arena_printf(mem, "%s/%s", dir, e->d_name));
        if (!name_is_ours(sv_from(e->d_name), engine) || !complete(mem, file, engine))
            continue;
        if (count == room) {
            const char **more = ARENA_ARRAY(mem, const char *, room * 2);
            memcpy(more, files, room * sizeof *files);
            files = more;
            room *= 2;
        }
        files[count++] = file;
    }
    closedir(d);
    if (count > 0)
        qsort(files, count, sizeof *files, newest_first);
    *out = files;
    *n = count;
    return OK;
}

err backup_rotate(struct arena *mem, const char *dir, enum db_engine engine, const char *made,
                  int64_t keep, int64_t *gone)
{
    const char **files = NULL;
    size_t n = 0;
    *gone = 0;
    TRY(list(mem, dir, engine, &files, &n));
    for (size_t i = (size_t)keep; i < n; i++) {
        if (strcmp(files[i], made) ==
            0) /* names of a clock that went back: ours is still the newest */
            continue;
        if (unlink(files[i]) != 0 || unlink(manifest_path(mem, files[i])) != 0)
            return FAIL(ERR_DB, "%s cannot be deleted: %s", files[i], strerror(errno));
        ++*gone;
    }
    return OK;
}
