/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into dtlsd by test_alloc.py: counts what is asked of the allocator in a file of one 64-bit
 * number, mapped by the test, too. Calls of mmap count as well, for allocators of a program's own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static _Atomic uint64_t unused;
static _Atomic uint64_t *calls = &unused;
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);

__attribute__((constructor))
static void begin(void)
{
	const char *path = getenv("MALLOC_COUNT_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	*(void **)&real_mmap = dlsym(RTLD_NEXT, "mmap");
	if (fd < 0)
		return;
	p = real_mmap(NULL, sizeof(*calls), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		calls = p;
}

static void count(void)
{
	atomic_fetch_add_explicit(calls, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	count();
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	count();
	return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	count();
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
	count();
	*out = __libc_memalign(alignment, size);
	return *out ? 0 : ENOMEM;
}

void *mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	count();
	if (!real_mmap)
		*(void **)&real_mmap = dlsym(RTLD_NEXT, "mmap");
	return real_mmap(addr, size, prot, flags, fd, offset);
}
