/* libcurl, loaded at the first call to the outside or the first mail (base/library.h): with what it
 * brings along it is half of the shared libraries, and a server at rest needs none of it. */
#pragma once
#include "base/err.h"

/* Before any other function of libcurl; sets it up once. ERR_CONFIG with the package's name: it is
 * not installed. */
err curl_load(void) MUST_USE;
/* For a start: whether it is there. The same error. */
err curl_find(void) MUST_USE;
