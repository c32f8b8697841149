/* Inside src/db: the text of a migration as an engine takes it (bytea is blob on SQLite; parts that
 * only SQLite is told, `-- [sqlite]`, are left out on PostgreSQL). */
#pragma once
#include "db/migrate.h"

const char *migrate_text(struct arena *mem, enum db_engine engine, const char *sql);
