/* SPDX-License-Identifier: BSD-2-Clause */
#include "faults.h"

#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The C library's own, and the address sanitizer's if there is one, which then must be the one that is called. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *p);
extern void *__interceptor_malloc(size_t size) __attribute__((weak));
extern void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
extern void *__interceptor_realloc(void *p, size_t size) __attribute__((weak));
extern void *__interceptor_aligned_alloc(size_t alignment, size_t size) __attribute__((weak));
extern void __interceptor_free(void *p) __attribute__((weak));

void *__real_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);

#define OWN_SLOTS 32768

/* Some of this runs before the sanitizers have made themselves at home. */
#define EARLY __attribute__((no_sanitize("address", "undefined")))

static struct {
	unsigned depth;
	uint64_t first, count, seen, hit;
	int64_t live;
	int64_t own_count;
	const void *own[OWN_SLOTS]; /* blocks of the program itself: an open hash */
	struct code {
		uintptr_t from, end;
	} self, gmp, tasn1; /* where their code is */
	void *callers[16];      /* of the first that failed */
	int caller_count;
} f;

/* The leak sanitizer knows what the dynamic linker keeps only as long as it calls malloc directly. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:_dl_map_object_deps\n";
}

/* ---- the plan ---- */

void faults_plan(uint64_t first, uint64_t count)
{
	f.first = first;
	f.count = count;
	f.seen = f.hit = 0;
}

void faults_relent(void)
{
	if (f.hit > 0)
		f.first = 0;
}

void faults_arm(void)
{
	f.depth++;
}

void faults_disarm(void)
{
	f.depth--;
}

unsigned faults_suspend(void)
{
	unsigned depth = f.depth;

	f.depth = 0;
	return depth;
}

void faults_resume(unsigned depth)
{
	f.depth = depth;
}

uint64_t faults_seen(void)
{
	return f.seen;
}

uint64_t faults_hit(void)
{
	return f.hit;
}

EARLY
static bool within(const struct code *c, const void *address)
{
	uintptr_t a = (uintptr_t)address;

	return a >= c->from && a < c->end;
}

struct faults_live faults_live(void)
{
	return (struct faults_live){ f.own_count, f.live - f.own_count };
}

EARLY
bool faults_own(const void *address)
{
	return within(&f.self, address);
}

static int note_code(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct code *c = strstr(info->dlpi_name, "libgmp.so") ? &f.gmp :
			 strstr(info->dlpi_name, "libtasn1.so") ? &f.tasn1 :
			 !info->dlpi_name[0] && !f.self.from ? &f.self : NULL;

	(void)size;
	(void)ctx;
	for (int i = 0; c && i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
			c->from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
			c->end = c->from + info->dlpi_phdr[i].p_memsz;
		}
	return 0;
}

__attribute__((constructor))
static void find_code(void)
{
	void *first[1];

	dl_iterate_phdr(note_code, NULL);
	(void)backtrace(first, 1); /* loads what it needs, now that there is memory */
}

void faults_tell(int fd)
{
	for (int i = 2; i < f.caller_count; i++)
		if (write(fd, "# ", 2) == 2)
			backtrace_symbols_fd(&f.callers[i], 1, fd);
}

EARLY
static bool fails(const void *caller)
{
	if (!f.depth || within(&f.gmp, caller) || within(&f.tasn1, caller))
		return false;
	f.seen++;
	if (!f.first || f.seen < f.first || f.seen - f.first >= f.count)
		return false;
	if (f.hit++ == 0) {
		unsigned depth = faults_suspend();

		f.caller_count = backtrace(f.callers, sizeof(f.callers) / sizeof(f.callers[0]));
		faults_resume(depth);
	}
	errno = ENOMEM;
	return true;
}

/* ---- the allocator ---- */

#define CALLER __builtin_return_address(0)

EARLY
static unsigned own_home(const void *p)
{
	return (unsigned)(((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) % OWN_SLOTS;
}

/* The slot of the block, or the free one where it belongs. */
EARLY
static unsigned own_find(const void *p)
{
	unsigned i = own_home(p);

	while (f.own[i] && f.own[i] != p)
		i = (i + 1) % OWN_SLOTS;
	return i;
}

EARLY
static void own_remove(unsigned hole)
{
	f.own[hole] = NULL;
	f.own_count--;
	for (unsigned i = (hole + 1) % OWN_SLOTS; f.own[i]; i = (i + 1) % OWN_SLOTS) {
		if ((i - own_home(f.own[i])) % OWN_SLOTS < (i - hole) % OWN_SLOTS)
			continue; /* its home lies after the hole */
		f.own[hole] = f.own[i];
		f.own[i] = NULL;
		hole = i;
	}
}

EARLY
static void *counted(void *p, const void *caller)
{
	f.live += p != NULL;
	if (p && faults_own(caller) && f.own_count < OWN_SLOTS / 2) {
		f.own[own_find(p)] = p;
		f.own_count++;
	}
	return p;
}

EARLY
static void discount(const void *p)
{
	unsigned i = own_find(p);

	f.live--;
	if (f.own[i])
		own_remove(i);
}

EARLY
void *malloc(size_t size)
{
	if (fails(CALLER))
		return NULL;
	return counted(__interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size), CALLER);
}

EARLY
void *calloc(size_t count, size_t size)
{
	if (fails(CALLER))
		return NULL;
	return counted(__interceptor_calloc ? __interceptor_calloc(count, size) : __libc_calloc(count, size), CALLER);
}

EARLY
void *realloc(void *p, size_t size)
{
	void *q;

	if (size > 0 && fails(CALLER))
		return NULL;
	q = __interceptor_realloc ? __interceptor_realloc(p, size) : __libc_realloc(p, size);
	if (p && (q || size == 0))
		discount(p);
	return counted(q, CALLER);
}

EARLY
void *aligned_alloc(size_t alignment, size_t size)
{
	if (fails(CALLER))
		return NULL;
	return counted(__interceptor_aligned_alloc ? __interceptor_aligned_alloc(alignment, size) :
						     __libc_memalign(alignment, size), CALLER);
}

EARLY
int posix_memalign(void **out, size_t alignment, size_t size)
{
	void *p = aligned_alloc(alignment, size);

	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

EARLY
void free(void *p)
{
	if (p)
		discount(p);
	if (__interceptor_free)
		__interceptor_free(p);
	else
		__libc_free(p);
}

void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	if (fails(CALLER))
		return MAP_FAILED;
	return __real_mmap(addr, size, prot, flags, fd, offset);
}
