/* What stands beside a backup: FILE.json says what it is and how it can be recognised. */
#pragma once
#include "cmd/cmd.h"
#include "db/backup.h"

struct manifest {
    enum db_engine engine;
    sv program, sha256; /* of the file, hex */
    ts created;
    int64_t bytes;
    struct backup_facts facts;
};
const char *manifest_path(struct arena *mem, const char *file); /* FILE.json */
void manifest_text(struct buf *out, const char *file, const struct manifest *m);
err manifest_write(struct arena *mem, const char *file, const struct manifest *m) MUST_USE;
/* ERR_NOT_FOUND if there is none. */
err manifest_read(struct arena *mem, const char *file, struct manifest *out) MUST_USE;
/* Size and digest of a file. */
err file_digest(struct arena *mem, const char *file, int64_t *bytes, sv *sha256) MUST_USE;
/* Of the finished backups of `engine` in `dir`, under the names that backup chooses itself, keeps
 * the newest `keep` and `made`, which was made just now. Files of any other name or content stay.
 * *gone = how many were deleted. */
err backup_rotate(struct arena *mem, const char *dir, enum db_engine engine, const char *made,
                  int64_t keep, int64_t *gone) MUST_USE;
