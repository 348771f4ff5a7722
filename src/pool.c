/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A chunk is aligned to its size, so the chunk of an object is found from the object's address. Chunks with
 * room are in a list, full ones in none, and an empty one becomes the spare or goes back. Objects never
 * used are not in the free list: the pages of a chunk are touched as they are needed.
 */
#include "pool.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define POOL_CHUNK (64 * 1024)
#define POOL_CHUNK_OBJECTS 8 /* at least; chunks of large objects are larger */
#define POOL_ALIGN 16

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
/* Under AddressSanitizer an object that is not out may not be touched. */
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

struct free_object {
	struct free_object *next;
};

struct chunk {
	struct pool *pool;
	struct chunk *next, **pprev; /* in pool->room; next alone in pool->spare */
	struct free_object *freed;
	uint32_t fresh; /* objects from this one on were never out */
	uint32_t used;
};

#define CHUNK_HEADER ((sizeof(struct chunk) + POOL_ALIGN - 1) / POOL_ALIGN * POOL_ALIGN)

struct pool {
	struct chunk *room; /* chunks with a free object and at least one that is out */
	struct chunk *spare; /* empty ones; more than one only when the kernel would not take them back */
	size_t object_size, chunk_size;
	size_t used;
	uint32_t per_chunk;
};

static inline void *chunk_object(const struct pool *p, struct chunk *c, uint32_t i)
{
	return (char *)c + CHUNK_HEADER + (size_t)i * p->object_size;
}

static void room_add(struct pool *p, struct chunk *c)
{
	c->next = p->room;
	c->pprev = &p->room;
	if (c->next != NULL)
		c->next->pprev = &c->next;
	p->room = c;
}

static void room_remove(struct chunk *c)
{
	*c->pprev = c->next;
	if (c->next != NULL)
		c->next->pprev = c->pprev;
}

/*
 * A mapping aligned to its size: twice as much is mapped and the ends are given back. The kernel may refuse
 * to split a mapping (vm.max_map_count); then an end stays, which costs addresses and no memory.
 */
static void *map_aligned(size_t size)
{
	char *p = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t head;

	if (p == MAP_FAILED)
		return NULL;
	head = (size - (uintptr_t)p % size) % size;
	if (head > 0)
		(void)munmap(p, head);
	(void)munmap(p + head + size, size - head);
	return p + head;
}

static struct chunk *chunk_new(struct pool *p)
{
	struct chunk *c = map_aligned(p->chunk_size);

	if (c == NULL)
		return NULL;
	c->pool = p;
	POISON(chunk_object(p, c, 0), p->per_chunk * p->object_size);
	return c;
}

/* false: the kernel would have to split a mapping and cannot; the chunk is as it was. */
static bool chunk_free(struct pool *p, struct chunk *c)
{
	UNPOISON(c, p->chunk_size);
	return munmap(c, p->chunk_size) == 0;
}

static void spare_add(struct pool *p, struct chunk *c)
{
	c->next = p->spare;
	p->spare = c;
}

struct pool *pool_new(size_t object_size)
{
	struct pool *p = calloc(1, sizeof(*p));

	assert(object_size > 0 && object_size < SIZE_MAX / (4 * POOL_CHUNK_OBJECTS));
	if (p == NULL)
		return NULL;
	p->object_size = (object_size + POOL_ALIGN - 1) / POOL_ALIGN * POOL_ALIGN;
	p->chunk_size = POOL_CHUNK;
	while (p->chunk_size - CHUNK_HEADER < POOL_CHUNK_OBJECTS * p->object_size)
		p->chunk_size *= 2;
	p->per_chunk = (uint32_t)((p->chunk_size - CHUNK_HEADER) / p->object_size);
	return p;
}

void pool_free(struct pool *p)
{
	assert(p->used == 0);
	while (p->spare != NULL) {
		struct chunk *c = p->spare;

		p->spare = c->next;
		(void)chunk_free(p, c);
	}
	free(p);
}

void *pool_get(struct pool *p)
{
	struct chunk *c = p->room;
	void *object;

	if (c == NULL) {
		c = p->spare;
		if (c != NULL)
			p->spare = c->next;
		else
			c = chunk_new(p);
		if (c == NULL)
			return NULL;
		room_add(p, c);
	}
	if (c->freed != NULL) {
		object = c->freed;
		UNPOISON(object, p->object_size);
		c->freed = c->freed->next;
	} else {
		object = chunk_object(p, c, c->fresh++);
		UNPOISON(object, p->object_size);
	}
	if (++c->used == p->per_chunk)
		room_remove(c);
	p->used++;
	return memset(object, 0, p->object_size);
}

void pool_put(struct pool *p, void *object)
{
	struct chunk *c = (struct chunk *)((uintptr_t)object & ~(uintptr_t)(p->chunk_size - 1));
	struct free_object *f = object;

	assert(c->pool == p && c->used > 0);
	assert(((uintptr_t)object - (uintptr_t)c - CHUNK_HEADER) % p->object_size == 0);
	f->next = c->freed;
	c->freed = f;
	POISON(object, p->object_size);
	p->used--;
	if (c->used-- == p->per_chunk)
		room_add(p, c);
	if (c->used > 0)
		return;
	room_remove(c);
	if (p->spare == NULL || !chunk_free(p, c))
		spare_add(p, c);
}

size_t pool_used(const struct pool *p)
{
	return p->used;
}
