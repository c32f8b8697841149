/* libpq, loaded when a database's URL names PostgreSQL (base/library.h). */
#pragma once
#include "base/err.h"

/* Before any other function of libpq. ERR_CONFIG with the package's name: it is not installed. */
err pq_load(void) MUST_USE;
