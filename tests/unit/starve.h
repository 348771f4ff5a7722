/* SPDX-License-Identifier: BSD-2-Clause */
/* starve: memory runs out when a test says so, but under a sanitizer, which brings its own allocator. */
#ifndef DTLSD_TESTS_UNIT_STARVE_H
#define DTLSD_TESTS_UNIT_STARVE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static bool out_of_memory;

#ifndef SANITIZED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	return out_of_memory ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return out_of_memory ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return out_of_memory ? NULL : __libc_realloc(p, n);
}
#endif

#endif
