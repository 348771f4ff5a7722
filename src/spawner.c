/* SPDX-License-Identifier: BSD-2-Clause */
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "keeper.h"
#include "log.h"

#define CHANNEL_BYTES (1024 * 1024) /* some hundred jobs may wait */
#define END_SLACK_MS 1000           /* for the last of them to be reaped */

static struct {
	pthread_mutex_t lock; /* whoever is not the main thread needs it for channel and page; of used */
	int channel;          /* -1: there is no keeper */
	pid_t keeper;
	struct keeper_page *page; /* while there is a channel */
	struct metrics before; /* what keepers counted that are gone */
	bool used[JOB_GROUPS];
} spawner = { .channel = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- a keeper's life ---- */

/* Its memory file. -errno. */
static int make_page(struct keeper_page **page)
{
	int fd = memfd_create(KEEPER_NAME, MFD_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	*page = MAP_FAILED;
	if (ftruncate(fd, sizeof(**page)) == 0)
		*page = mmap(NULL, sizeof(**page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*page != MAP_FAILED)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

/*
 * A new image: there are threads, which a fork would leave without their locks, and keys. It ends when dtlsd has: not
 * by what a terminal or a service manager says to both.
 */
static int run_file(const char *file, int channel, int page, bool quiet)
{
	char name[] = KEEPER_NAME, argument[] = KEEPER_ARGUMENT, *argv[] = { name, argument, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t all;
	int err;

	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&files);
	err = posix_spawn_file_actions_adddup2(&files, channel, KEEPER_CHANNEL);
	if (err == 0)
		err = posix_spawn_file_actions_adddup2(&files, page, KEEPER_PAGE);
	if (err == 0 && quiet)
		err = posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_RDWR, 0);
	if (err == 0)
		err = posix_spawn(&spawner.keeper, file, &files, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return -err;
}

/* What was started, be there another file of that name by now. 0 or -errno. */
static int run_keeper(int channel, int page, bool quiet)
{
	int exe = open("/proc/self/exe", O_PATH | O_CLOEXEC), err;
	char file[40]; /* run by the name above it would be valgrind, under valgrind */

	if (exe < 0)
		return -errno;
	snprintf(file, sizeof(file), "/proc/self/fd/%d", exe);
	err = run_file(file, channel, page, quiet);
	close(exe);
	return err;
}

/* 0 or -errno. */
static int begin_with(struct keeper_page *page, int page_fd, bool quiet)
{
	const int bytes = CHANNEL_BYTES;
	int ends[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	atomic_init(&page->level, (int)log_level());
	err = run_keeper(ends[1], page_fd, quiet);
	close(ends[1]);
	if (err < 0) {
		close(ends[0]);
		return err;
	}
	pthread_mutex_lock(&spawner.lock);
	spawner.channel = ends[0];
	spawner.page = page;
	pthread_mutex_unlock(&spawner.lock);
	return 0;
}

int spawner_begin(bool quiet)
{
	struct keeper_page *page;
	int fd, err;

	if (spawner.channel >= 0)
		return 0;
	fd = make_page(&page);
	if (fd < 0)
		return fd;
	err = begin_with(page, fd, quiet);
	close(fd);
	if (err < 0)
		munmap(page, sizeof(*page));
	return err;
}

int spawner_fd(void)
{
	return spawner.channel;
}

pid_t spawner_pid(void)
{
	return spawner.keeper;
}

bool spawner_read(void)
{
	struct keeper_line line;
	ssize_t n;

	for (int i = 0; i < 64; i++) {
		n = recv(spawner.channel, &line, sizeof(line), MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false;
		line.text[sizeof(line.text) - 1] = '\0';
		log_write((enum log_level)line.level, NULL, "%s", line.text);
	}
	return true;
}

void spawner_follow_log(void)
{
	if (spawner.channel >= 0)
		atomic_store(&spawner.page->level, (int)log_level());
}

static void add_counts(struct metrics *sum, struct keeper_page *page)
{
	metric_add(sum, METRIC_exec_started, atomic_load(&page->started));
	metric_add(sum, METRIC_exec_restarted, atomic_load(&page->restarted));
	metric_add(sum, METRIC_exec_failed, atomic_load(&page->failed));
	metric_add(sum, METRIC_exec_killed, atomic_load(&page->killed));
}

void spawner_lost(void)
{
	pthread_mutex_lock(&spawner.lock);
	close(spawner.channel);
	spawner.channel = -1;
	pthread_mutex_unlock(&spawner.lock);
	for (unsigned i = 0; i < JOB_PROCESSES_MOST; i++) {
		int leader = atomic_load(&spawner.page->leader[i]);

		if (leader > 0)
			child_signal(leader, SIGKILL);
	}
	add_counts(&spawner.before, spawner.page);
	munmap(spawner.page, sizeof(*spawner.page));
}

void spawner_end(uint32_t most_ms)
{
	const struct job_head end = { .kind = JOB_END, .grace_ms = most_ms };
	uint64_t until = clock_mono_ms() + most_ms + END_SLACK_MS, now;
	const struct timeval most = { most_ms / 1000 + 1, 0 };
	struct pollfd p = { .fd = spawner.channel, .events = POLLIN };
	bool there = true;

	if (spawner.channel < 0)
		return;
	/* it waits while the keeper takes what is before it */
	(void)setsockopt(spawner.channel, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
	(void)!send(spawner.channel, &end, sizeof(end), MSG_NOSIGNAL);
	shutdown(spawner.channel, SHUT_WR);
	while (there && (now = clock_mono_ms()) < until)
		if (poll(&p, 1, (int)(until - now)) > 0)
			there = spawner_read();
	if (there) {
		log_warning("the process \"dtlsd-keeper\" has not ended the others in time: it is killed, and they with it");
		kill(spawner.keeper, SIGKILL);
	}
	waitpid(spawner.keeper, NULL, 0);
	spawner_lost();
}

void spawner_add_counts(struct metrics *sum)
{
	for (int m = 0; m < METRIC_COUNT; m++)
		metric_add(sum, (enum metric)m, metric_get(&spawner.before, (enum metric)m));
	if (spawner.channel >= 0)
		add_counts(sum, spawner.page);
}

/* ---- any thread ---- */

/* With the lock. 0 or -errno. */
static int send_job(const struct iovec iov[static 3], int socket)
{
	union { struct cmsghdr align; char bytes[CMSG_SPACE(sizeof(int))]; } control;
	struct msghdr h = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = 3, .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&h);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(socket));
	memcpy(CMSG_DATA(c), &socket, sizeof(socket));
	if (sendmsg(spawner.channel, &h, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -errno;
}

int spawner_start(const struct job_head *head, struct spawner_text fixed, struct spawner_text more, int socket)
{
	const struct iovec iov[3] = { { (void *)(uintptr_t)head, sizeof(*head) },
				      { (void *)(uintptr_t)fixed.text, fixed.len },
				      { (void *)(uintptr_t)more.text, more.len } };
	int err = -ENOTCONN;

	if (sizeof(*head) + fixed.len + more.len > JOB_MOST)
		return -E2BIG;
	pthread_mutex_lock(&spawner.lock);
	if (spawner.channel >= 0) {
		/* before it is sent: it may be gone, and counted down, at once */
		atomic_fetch_add(&spawner.page->live[head->group], 1);
		err = send_job(iov, socket);
		if (err < 0)
			atomic_fetch_sub(&spawner.page->live[head->group], 1);
	}
	pthread_mutex_unlock(&spawner.lock);
	return err;
}

/* With the lock. */
static unsigned live(unsigned group)
{
	return spawner.channel >= 0 ? atomic_load(&spawner.page->live[group]) : 0;
}

unsigned spawner_group(void)
{
	unsigned group = 0;

	pthread_mutex_lock(&spawner.lock);
	for (unsigned i = 1; i < JOB_GROUPS && group == 0; i++)
		if (!spawner.used[i] && live(i) == 0)
			group = i;
	spawner.used[group] = true;
	pthread_mutex_unlock(&spawner.lock);
	return group;
}

void spawner_leave_group(unsigned group)
{
	pthread_mutex_lock(&spawner.lock);
	spawner.used[group] = false;
	pthread_mutex_unlock(&spawner.lock);
}

unsigned spawner_live(unsigned group)
{
	unsigned count;

	pthread_mutex_lock(&spawner.lock);
	count = live(group);
	pthread_mutex_unlock(&spawner.lock);
	return count;
}
