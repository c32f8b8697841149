/* Inside src/db: the text of a migration as an engine takes it (bytea is blob on SQLite; parts that
 * only the other engine is told, `-- [sqlite]` or `-- [pg]`, are left out). */
#pragma once
#include "db/migrate.h"

const char *migrate_text(struct arena *mem, enum db_engine engine, const char *sql);
