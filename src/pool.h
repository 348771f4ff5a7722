/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool: objects of one size from mmap'd chunks. A chunk whose last object is freed goes back to the
 * system (one spare is kept), so that memory falls when sessions end, whatever malloc's heap looks
 * like. Not thread-safe: each worker has its own. Objects are zeroed when handed out.
 */
#ifndef DTLSD_POOL_H
#define DTLSD_POOL_H

#include <stddef.h>
#include <stdint.h>

struct pool;

struct pool *pool_new(size_t object_size); /* NULL: out of memory. Rounded up to 16 bytes */
void pool_free(struct pool *p);            /* asserts that no object is out */
void *pool_get(struct pool *p);            /* NULL: out of memory */
void pool_put(struct pool *p, void *object);
size_t pool_used(const struct pool *p);    /* objects out */

#endif
