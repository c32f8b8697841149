/* SQLite's readers look at the database file where the kernel holds it, through one mapping of the
 * process, instead of copying each page by a call.
 *
 * SQLite's own mapping (PRAGMA mmap_size) is one for each connection, ends at 2 GB and is undone
 * after every commit of another, so that each page would be a page fault again. Here the methods
 * of a reader's file are SQLite's own but for xFetch, which answers from the shared mapping. What
 * SQLite promises of a page it reads holds for it as well: whoever folds the log into the file
 * leaves alone the pages that an open snapshot may read there.
 *
 * The mapping is longer than the file: what the file gains is seen without mapping anew. */
#include "db/db_internal.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM ((size_t)8 << 30) /* addresses beyond twice the file; they cost nothing */

struct file_map {
    sqlite3_io_methods methods; /* first: a file's pMethods leads back to its mapping */
    const sqlite3_io_methods *plain;
    struct file_map *next;
    unsigned users;
    dev_t dev;
    ino_t ino;
    int fd;
    const char *at;
    size_t room;
    atomic_size_t size; /* of the file, when last asked */
};

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
/* One a file, to the end: closing any descriptor of a file drops the process's locks on it. */
static struct file_map *maps;

static struct file_map *map_of(sqlite3_file *f)
{
    return (struct file_map *)(uintptr_t)f->pMethods;
}

static bool reaches(struct file_map *m, size_t end)
{
    struct stat st;
    if (end <= atomic_load_explicit(&m->size, memory_order_relaxed))
        return true;
    if (end > m->room || fstat(m->fd, &st) != 0)
        return false;
    atomic_store_explicit(&m->size, (size_t)st.st_size, memory_order_relaxed);
    return end <= (size_t)st.st_size;
}

/* NULL: SQLite reads the page by a call. */
static int fetch(sqlite3_file *f, sqlite3_int64 at, int n, void **out)
{
    struct file_map *m = map_of(f);
    bool there = reaches(m, (size_t)at + (size_t)n);
    *out = there ? (void *)(uintptr_t)(m->at + at) : NULL;
    return SQLITE_OK;
}

/* Also asked to undo the mapping, at each commit of another: it stays. */
static int unfetch(sqlite3_file *f, sqlite3_int64 at, void *page)
{
    (void)f, (void)at, (void)page;
    return SQLITE_OK;
}

/* PRAGMA mmap_size, which makes SQLite fetch, is not told to its own mapping. */
static int control(sqlite3_file *f, int op, void *arg)
{
    return op == SQLITE_FCNTL_MMAP_SIZE ? SQLITE_OK : map_of(f)->plain->xFileControl(f, op, arg);
}

static struct file_map *map_new(int fd, const struct stat *st)
{
    size_t room = 2 * (size_t)st->st_size + ROOM;
    void *at = mmap(NULL, room, PROT_READ, MAP_SHARED, fd, 0);
    struct file_map *m = calloc(1, sizeof *m);
    assert(m);
    m->dev = st->st_dev;
    m->ino = st->st_ino;
    m->fd = fd;
    m->at = at;
    m->room = at == MAP_FAILED ? 0 : room; /* none: the descriptor has to stay open all the same */
    return m;
}

static struct file_map *find(const struct stat *st)
{
    for (struct file_map *m = maps; m; m = m->next)
        if (m->dev == st->st_dev && m->ino == st->st_ino)
            return m;
    return NULL;
}

static struct file_map *found_or_new(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return NULL;
    struct file_map *m = find(&st);
    if (m)
        return m;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    m = map_new(fd, &st);
    m->next = maps;
    maps = m;
    return m;
}

struct file_map *file_map_open(const char *path)
{
    const char *wanted = getenv("MYBEING_MMAP");
    if (wanted && strcmp(wanted, "0") == 0)
        return NULL;
    pthread_mutex_lock(&mu);
    struct file_map *m = found_or_new(path);
    if (m)
        m->users++;
    pthread_mutex_unlock(&mu);
    return m;
}

void file_map_close(struct file_map *m)
{
    if (!m)
        return;
    pthread_mutex_lock(&mu);
    if (--m->users == 0) {
        struct file_map **at = &maps;
        while (*at != m)
            at = &(*at)->next;
        *at = m->next;
        if (m->room > 0)
            munmap((void *)(uintptr_t)m->at, m->room);
        close(m->fd);
        free(m);
    }
    pthread_mutex_unlock(&mu);
}

bool file_map_use(struct file_map *m, struct sqlite3_file *f)
{
    if (!m || !f->pMethods || f->pMethods->iVersion < 3)
        return false;
    pthread_mutex_lock(&mu);
    if (!m->plain) {
        m->methods = *f->pMethods;
        m->methods.xFetch = fetch;
        m->methods.xUnfetch = unfetch;
        m->methods.xFileControl = control;
        m->plain = f->pMethods;
    }
    bool same = m->plain == f->pMethods;
    pthread_mutex_unlock(&mu);
    if (same)
        f->pMethods = &m->methods;
    return same;
}
