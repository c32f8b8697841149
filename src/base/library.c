#include "base/library.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static err missing(const struct library *l, const char *why)
{
    return FAIL(ERR_CONFIG, "%s is needed and cannot be loaded (%s): install the package %s",
                l->file, why, l->package);
}

/* With the lock. It is never unloaded. */
static err load(struct library *l)
{
    void *handle = dlopen(l->file, RTLD_LAZY | RTLD_LOCAL);
    if (handle == NULL)
        return missing(l, dlerror());
    for (size_t i = 0; i < l->n; i++) {
        l->functions[i] = dlsym(handle, l->names[i]);
        if (l->functions[i] == NULL)
            return missing(l, dlerror()); /* older than what we were built with */
    }
    atomic_store_explicit(&l->loaded, true, memory_order_release);
    return OK;
}

err library_load(struct library *l)
{
    if (atomic_load_explicit(&l->loaded, memory_order_acquire))
        return OK;
    pthread_mutex_lock(&l->lock);
    err e = l->loaded ? OK : load(l);
    pthread_mutex_unlock(&l->lock);
    return e;
}

/* In one of the folders where the loader looks. */
static bool in_usual_folder(const char *file)
{
    Dl_serinfo size, *at = NULL;
    bool found = false;
    void *self = dlopen(NULL, RTLD_LAZY);
    if (self != NULL && dlinfo(self, RTLD_DI_SERINFOSIZE, &size) == 0)
        at = malloc(size.dls_size);
    if (at != NULL) {
        *at = (Dl_serinfo){.dls_size = size.dls_size, .dls_cnt = size.dls_cnt};
        if (dlinfo(self, RTLD_DI_SERINFO, at) != 0)
            at->dls_cnt = 0;
        for (unsigned i = 0; i < at->dls_cnt && !found; i++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", at->dls_serpath[i].dls_name, file);
            found = access(path, R_OK) == 0;
        }
    }
    free(at);
    if (self != NULL)
        dlclose(self);
    return found;
}

/* /etc/ld.so.conf may name further folders, which only loading finds. */
err library_find(struct library *l)
{
    return in_usual_folder(l->file) ? OK : library_load(l);
}
