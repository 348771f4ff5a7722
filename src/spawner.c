/* SPDX-License-Identifier: BSD-2-Clause */
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "keeper.h"
#include "log.h"

#define CHANNEL_BYTES (1024 * 1024) /* some hundred jobs may wait */
#define END_SLACK_MS 1000           /* for the last of them to be reaped */

static struct {
	int channel; /* meaningful while there is a page */
	pid_t keeper;
	struct keeper_page *page; /* NULL: there is no keeper */
	pthread_mutex_t lock;     /* of groups */
	bool used[JOB_GROUPS];
} spawner = { .channel = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

static void silence(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd <= STDERR_FILENO && null >= 0; fd++)
		dup2(null, fd);
}

int spawner_begin(bool quiet)
{
	const int bytes = CHANNEL_BYTES;
	int ends[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	spawner.page = mmap(NULL, sizeof(*spawner.page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	spawner.keeper = spawner.page == MAP_FAILED ? -1 : fork();
	if (spawner.keeper == 0) {
		if (quiet)
			silence();
		keeper_run(ends[1], spawner.page);
	}
	err = errno;
	close(ends[1]);
	spawner.channel = ends[0];
	if (spawner.keeper > 0)
		return 0;
	close(ends[0]);
	spawner.channel = -1;
	spawner.page = NULL;
	return -err;
}

int spawner_fd(void)
{
	return spawner.channel;
}

bool spawner_read(void)
{
	struct keeper_line line;
	ssize_t n;

	atomic_store(&spawner.page->level, (int)log_level());
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

void spawner_end(uint32_t most_ms)
{
	const struct job_head end = { .kind = JOB_END, .grace_ms = most_ms };
	uint64_t until = clock_mono_ms() + most_ms + END_SLACK_MS, now;
	struct pollfd p = { .fd = spawner.channel, .events = POLLIN };
	bool there = spawner.channel >= 0;

	if (!there)
		return;
	/* blocking: the keeper takes what is before it */
	there = send(spawner.channel, &end, sizeof(end), MSG_NOSIGNAL) >= 0;
	shutdown(spawner.channel, SHUT_WR);
	while (there && (now = clock_mono_ms()) < until)
		if (poll(&p, 1, (int)(until - now)) > 0)
			there = spawner_read();
	if (there) {
		log_warning("processes of the handler exec are still there: they are left behind");
		kill(spawner.keeper, SIGKILL);
	}
	waitpid(spawner.keeper, NULL, 0);
	close(spawner.channel);
	spawner.channel = -1;
	munmap(spawner.page, sizeof(*spawner.page));
	spawner.page = NULL;
}

void spawner_add_counts(struct metrics *sum)
{
	if (!spawner.page)
		return;
	metric_add(sum, METRIC_exec_started, atomic_load(&spawner.page->started));
	metric_add(sum, METRIC_exec_restarted, atomic_load(&spawner.page->restarted));
	metric_add(sum, METRIC_exec_failed, atomic_load(&spawner.page->failed));
	metric_add(sum, METRIC_exec_killed, atomic_load(&spawner.page->killed));
}

/* ---- any thread ---- */

int spawner_start(const struct job_head *head, struct spawner_text fixed, struct spawner_text more, int socket)
{
	struct iovec iov[] = { { (void *)(uintptr_t)head, sizeof(*head) }, { (void *)(uintptr_t)fixed.text, fixed.len },
			       { (void *)(uintptr_t)more.text, more.len } };
	union { struct cmsghdr align; char bytes[CMSG_SPACE(sizeof(int))]; } control;
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = 3, .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	if (!spawner.page)
		return -ENOTCONN;
	if (sizeof(*head) + fixed.len + more.len > JOB_MOST)
		return -E2BIG;
	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&h);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(socket));
	memcpy(CMSG_DATA(c), &socket, sizeof(socket));
	atomic_store(&spawner.page->level, (int)log_level());
	if (sendmsg(spawner.channel, &h, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -errno;
}

unsigned spawner_group(void)
{
	unsigned group = 0;

	if (!spawner.page)
		return 0;
	pthread_mutex_lock(&spawner.lock);
	for (unsigned i = 1; i < JOB_GROUPS && group == 0; i++)
		if (!spawner.used[i] && atomic_load(&spawner.page->live[i]) == 0)
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
	return group && spawner.page ? atomic_load(&spawner.page->live[group]) : 0;
}

bool spawner_take_place(unsigned group, unsigned most)
{
	unsigned live = spawner_live(group);

	if (!spawner.page)
		return true;
	if (!group)
		return false;
	do {
		if (live >= most)
			return false;
	} while (!atomic_compare_exchange_weak(&spawner.page->live[group], &live, live + 1));
	return true;
}

void spawner_give_place(unsigned group)
{
	if (group && spawner.page)
		atomic_fetch_sub(&spawner.page->live[group], 1);
}
