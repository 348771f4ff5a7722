/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into dtlsd by faulty.py: makes system calls fail. What fails, and how often, is in a file
 * of 64-bit numbers, FAULTS_FILE, which the test maps too and changes while the daemon runs; see the enum.
 * Chance is a generator of its own with a seed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	SEED,
	/* of 1000 calls */
	RECEIVE_EINTR, RECEIVE_EAGAIN, RECEIVE_ENOMEM, RECEIVE_SHORT,
	SEND_EINTR, SEND_EAGAIN, SEND_ENOBUFS, SEND_ENOMEM, SEND_SHORT,
	MAP_ENOMEM,
	WALL_S,      /* added to the wall clock, signed */
	BOOT_FAILS,  /* the call of this number that makes something fails, 0: none */
	BOOT_ERRNO,
	DISK_FULL,   /* writing to files fails */
	/* counted here */
	BOOT_CALLS, INJECTED,
	CONTROLS
};

static _Atomic int64_t quiet[CONTROLS];
static _Atomic int64_t *control = quiet;
static _Atomic uint64_t state;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor))
static void begin(void)
{
	const char *path = getenv("FAULTS_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = REAL(mmap)(NULL, sizeof(quiet), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return;
	control = p;
	state = (uint64_t)control[SEED];
}

/* splitmix64 */
static uint64_t chance(void)
{
	uint64_t x = atomic_fetch_add(&state, UINT64_C(0x9e3779b97f4a7c15)) + UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static int injected(int err)
{
	control[INJECTED]++;
	errno = err;
	return 1;
}

static int happens(int which, int err)
{
	return control[which] > 0 && (int64_t)(chance() % 1000) < control[which] && injected(err);
}

/* ---- while it serves ---- */

int recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *timeout)
{
	if (happens(RECEIVE_EINTR, EINTR) || happens(RECEIVE_EAGAIN, EAGAIN) || happens(RECEIVE_ENOMEM, ENOMEM))
		return -1;
	if (n > 1 && happens(RECEIVE_SHORT, 0))
		n = 1 + (unsigned)(chance() % 3);
	return REAL(recvmmsg)(fd, msg, n, flags, timeout);
}

static int send_fails(void)
{
	return happens(SEND_EINTR, EINTR) || happens(SEND_EAGAIN, EAGAIN) || happens(SEND_ENOBUFS, ENOBUFS) ||
	       happens(SEND_ENOMEM, ENOMEM);
}

int sendmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags)
{
	if (send_fails())
		return -1;
	if (n > 1 && happens(SEND_SHORT, 0))
		n = 1 + (unsigned)(chance() % (n - 1));
	return REAL(sendmmsg)(fd, msg, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return send_fails() ? -1 : REAL(sendmsg)(fd, msg, flags);
}

int clock_gettime(clockid_t which, struct timespec *t)
{
	int rc = REAL(clock_gettime)(which, t);

	if (rc == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
		t->tv_sec += control[WALL_S];
	return rc;
}

time_t time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

ssize_t write(int fd, const void *data, size_t n)
{
	struct stat st;

	if (control[DISK_FULL] && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		injected(ENOSPC);
		return -1;
	}
	return REAL(write)(fd, data, n);
}

/* ---- while it starts ---- */

static int boot_fails(void)
{
	return control[BOOT_FAILS] > 0 && ++control[BOOT_CALLS] == control[BOOT_FAILS] &&
	       injected((int)control[BOOT_ERRNO]);
}

int socket(int family, int type, int protocol)
{
	return boot_fails() ? -1 : REAL(socket)(family, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
	return boot_fails() ? -1 : REAL(bind)(fd, address, len);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return boot_fails() ? -1 : REAL(setsockopt)(fd, level, name, value, len);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return boot_fails() ? -1 : REAL(getsockopt)(fd, level, name, value, len);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *len)
{
	return boot_fails() ? -1 : REAL(getsockname)(fd, address, len);
}

int epoll_create1(int flags)
{
	return boot_fails() ? -1 : REAL(epoll_create1)(flags);
}

int eventfd(unsigned value, int flags)
{
	return boot_fails() ? -1 : REAL(eventfd)(value, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
	return boot_fails() ? errno : REAL(pthread_create)(thread, attributes, run, arg);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	if (boot_fails() || happens(MAP_ENOMEM, ENOMEM))
		return MAP_FAILED;
	return REAL(mmap)(address, size, protection, flags, fd, offset);
}

/* ---- the program's own allocations, unless a sanitizer wants them for itself ---- */

#ifdef WITH_MALLOC
#include <link.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static uintptr_t code, code_end;

static int first_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	(void)ctx;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
			code = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
			code_end = code + info->dlpi_phdr[i].p_memsz;
		}
	return 1;
}

__attribute__((constructor))
static void find_code(void)
{
	dl_iterate_phdr(first_object, NULL);
}

static int allocation_fails(const void *caller)
{
	return (uintptr_t)caller >= code && (uintptr_t)caller < code_end && boot_fails();
}

void *malloc(size_t size)
{
	return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}
#endif
