/* cmocka with what it needs before it, and what every unit test uses. */
#pragma once
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
