/* SPDX-License-Identifier: BSD-2-Clause */
#include "keeper.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "ward.h"

#define TIMERS_A_TURN 1000
/* Lines of all processes that reach the log. */
#define LINES_RATE 200
#define LINES_BURST 1000

struct keeper {
	struct wards wards;
	bool over; /* the channel is */
	char request[JOB_MOST];
};

/* ---- requests ---- */

static void refuse(struct keeper *k, const struct job *j, const char *why)
{
	struct keeper_line line = { .level = LOG_ERROR_ };

	atomic_fetch_sub(&k->wards.page->live[j->head.group], 1);
	atomic_fetch_add(&k->wards.page->failed, 1);
	if (ratelimit_take(&k->wards.lines_rate, k->wards.now)) {
		snprintf(line.text, sizeof(line.text), "service %s: no process is started: %s", j->service, why);
		ward_say_line(k->wards.channel, &line);
	}
}

/* j points into the request. */
static void take(struct keeper *k, const struct job *j, size_t len, int socket)
{
	if (socket < 0) {
		refuse(k, j, "there are too many open files; raise LimitNOFILE or \"ulimit -n\"");
	} else if (k->wards.count == JOB_PROCESSES_MOST) {
		close(socket);
		refuse(k, j, "there are 20000 already; lower exec-processes");
	} else if (!ward_new(&k->wards, k->request, len, socket)) {
		refuse(k, j, "out of memory; lower exec-processes");
	}
}

static int socket_in(struct msghdr *h)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(h);
	int fd;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void on_request(struct keeper *k)
{
	union { struct cmsghdr align; char bytes[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec iov = { k->request, sizeof(k->request) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(k->wards.channel, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct job j;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		k->over = true;
		epoll_ctl(k->wards.epoll, EPOLL_CTL_DEL, k->wards.channel, NULL);
		return;
	}
	if (!job_read(&j, k->request, (size_t)n))
		abort(); /* it is our own program that has written it */
	if (j.head.kind == JOB_END)
		wards_end(&k->wards, j.head.grace_ms);
	else
		take(k, &j, (size_t)n, socket_in(&h));
}

/* ---- life ---- */

/* Of what dtlsd was started with only standard error stays: the rest is no business of its handlers. */
static bool begin(struct wards *k)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };

	prctl(PR_SET_NAME, KEEPER_NAME);
	closefrom(STDERR_FILENO + 1);
	k->epoll = epoll_create1(EPOLL_CLOEXEC);
	return k->epoll >= 0 && epoll_ctl(k->epoll, EPOLL_CTL_ADD, k->channel, &e) == 0;
}

static _Noreturn void run(struct keeper_page *page)
{
	static struct keeper keeper;
	struct wards *k = &keeper.wards;
	struct epoll_event e;

	*k = (struct wards){ .channel = KEEPER_CHANNEL, .page = page, .now = clock_mono_ms(), .grace_most = UINT32_MAX };
	place_init(&k->all);
	wheel_init(&k->wheel, k->now);
	ratelimit_init(&k->lines_rate, LINES_RATE, LINES_BURST, k->now);
	if (!begin(k))
		_exit(1);
	while (!keeper.over || k->count > 0) {
		uint64_t wait = wheel_wait(&k->wheel, k->now, 60000);
		/* one at a time: what it does may end the ward of another */
		int n = epoll_wait(k->epoll, &e, 1, wait > 60000 ? 60000 : (int)wait);

		k->now = clock_mono_ms();
		if (n > 0 && e.data.ptr)
			ward_event(e.data.ptr);
		else if (n > 0)
			on_request(&keeper);
		wheel_run(&k->wheel, k->now, TIMERS_A_TURN, ward_timer, NULL);
	}
	_exit(0);
}

void keeper_main(int argc, char *argv[])
{
	struct stat st;
	void *page;

	if (argc != 2 || strcmp(argv[1], KEEPER_ARGUMENT) != 0 || fstat(KEEPER_PAGE, &st) < 0 ||
	    st.st_size != (off_t)sizeof(struct keeper_page))
		return;
	page = mmap(NULL, sizeof(struct keeper_page), PROT_READ | PROT_WRITE, MAP_SHARED, KEEPER_PAGE, 0);
	if (page != MAP_FAILED)
		run(page);
}
