/* What a process writes to one SQLite database, and what of it was made durable: a recorder, loaded
 * with LD_PRELOAD.
 *
 * POWERCUT_FILE is the database, POWERCUT_LOG the record. test_powercut.py rebuilds from it the
 * disk as a power cut would leave it. A record: op, file (0 the database, 1 its log, 2 its
 * journal), length, offset, data. A sync is recorded when it has returned and names the place in
 * the record where it began: only what stands before that place is safe. */
#include <assert.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum op { OP_WRITE = 1, OP_TRUNCATE, OP_SYNC, OP_UNLINK };
enum { FDS = 4096, NONE = -1 };

struct record {
    uint32_t op, file, length, pad;
    int64_t offset;
};

static struct {
    int (*open)(const char *, int, ...);
    int (*close)(int);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    int (*ftruncate)(int, off_t);
    int (*fsync)(int);
    int (*fdatasync)(int);
    int (*unlink)(const char *);
} real;

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static signed char file_of[FDS]; /* number of the file + 1; 0: not ours */
static const char *watched;
static int out = -1;
static int64_t at; /* length of the record */

static void *symbol(const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);
    assert(p);
    return p;
}

static void set_up(void)
{
    *(void **)&real.open = symbol("open64");
    *(void **)&real.close = symbol("close");
    *(void **)&real.write = symbol("write");
    *(void **)&real.pwrite = symbol("pwrite64");
    *(void **)&real.ftruncate = symbol("ftruncate64");
    *(void **)&real.fsync = symbol("fsync");
    *(void **)&real.fdatasync = symbol("fdatasync");
    *(void **)&real.unlink = symbol("unlink");
    watched = getenv("POWERCUT_FILE");
    const char *log = getenv("POWERCUT_LOG");
    if (watched && log) {
        out = real.open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        assert(out >= 0);
    }
}

static void ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up);
}

static int number_of(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-journal"};
    size_t n = watched && path ? strlen(watched) : 0;
    if (out < 0 || n == 0 || strncmp(path, watched, n) != 0)
        return NONE;
    for (int i = 0; i < 3; i++)
        if (strcmp(path + n, ends[i]) == 0)
            return i;
    return NONE;
}

static int file(int fd)
{
    ready();
    return fd >= 0 && fd < FDS ? file_of[fd] - 1 : NONE;
}

static void append(const void *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = real.write(out, (const char *)p + done, n - done);
        assert(k > 0);
        done += (size_t)k;
    }
}

/* The caller holds `mu`. */
static void note(enum op op, int f, int64_t offset, const void *data, size_t n)
{
    struct record r = {(uint32_t)op, (uint32_t)f, (uint32_t)n, 0, offset};
    append(&r, sizeof r);
    append(data, n);
    at += (int64_t)(sizeof r + n);
}

static int opened(const char *path, int flags, mode_t mode)
{
    ready();
    int f = number_of(path), fd = real.open(path, flags, mode);
    if (f != NONE && fd >= 0) {
        assert(fd < FDS);
        pthread_mutex_lock(&mu);
        file_of[fd] = (signed char)(f + 1);
        pthread_mutex_unlock(&mu);
    }
    return fd;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;                      \
        va_end(ap);                                                                                \
        return opened(path, flags, mode);                                                          \
    }
OPEN(open)
OPEN(open64)

int close(int fd)
{
    if (file(fd) != NONE)
        file_of[fd] = 0;
    return real.close(fd);
}

static ssize_t put(int fd, const void *p, size_t n, off_t offset)
{
    int f = file(fd);
    if (f == NONE)
        return real.pwrite(fd, p, n, offset);
    pthread_mutex_lock(&mu);
    ssize_t done = real.pwrite(fd, p, n, offset);
    if (done > 0)
        note(OP_WRITE, f, offset, p, (size_t)done);
    pthread_mutex_unlock(&mu);
    return done;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
    return put(fd, p, n, offset);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t offset)
{
    return put(fd, p, n, offset);
}

ssize_t write(int fd, const void *p, size_t n)
{
    assert(file(fd) == NONE); /* SQLite names the place of every write */
    return real.write(fd, p, n);
}

static int cut(int fd, off_t size)
{
    int f = file(fd);
    pthread_mutex_lock(&mu);
    int rc = real.ftruncate(fd, size);
    if (rc == 0 && f != NONE)
        note(OP_TRUNCATE, f, size, NULL, 0);
    pthread_mutex_unlock(&mu);
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return cut(fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return cut(fd, size);
}

static int synced(int fd, int (*how)(int))
{
    int f = file(fd);
    if (f == NONE)
        return how(fd);
    pthread_mutex_lock(&mu);
    int64_t began = at;
    pthread_mutex_unlock(&mu);
    int rc = how(fd);
    pthread_mutex_lock(&mu);
    if (rc == 0)
        note(OP_SYNC, f, began, NULL, 0);
    pthread_mutex_unlock(&mu);
    return rc;
}

int fsync(int fd)
{
    ready();
    return synced(fd, real.fsync);
}

int fdatasync(int fd)
{
    ready();
    return synced(fd, real.fdatasync);
}

int unlink(const char *path)
{
    ready();
    int f = number_of(path);
    pthread_mutex_lock(&mu);
    int rc = real.unlink(path);
    if (rc == 0 && f != NONE)
        note(OP_UNLINK, f, 0, NULL, 0);
    pthread_mutex_unlock(&mu);
    return rc;
}
