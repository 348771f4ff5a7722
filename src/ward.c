/* SPDX-License-Identifier: BSD-2-Clause */
#include "ward.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "log.h"

/* Lines of one process that reach the log. */
#define LINES_RATE 20
#define LINES_BURST 100

enum ward_state {
	WARD_AWAY,  /* kept, and to be started again when the timer fires */
	WARD_RUNS,
	WARD_LEFT,  /* its input has ended */
	WARD_TOLD,  /* SIGTERM was sent */
	WARD_KILLED
};

struct ward {
	struct timer timer; /* first */
	struct place place;
	struct wards *keeper;
	enum ward_state state;
	struct ward_watch watch[WARD_PARTS];
	int fd[WARD_PARTS]; /* -1: none */
	pid_t pid;
	atomic_int *leader; /* its slot on the page */
	struct job job;     /* points into text */
	uint64_t started_at, pause;
	bool before;        /* it ran before */
	struct ratelimit lines_rate;
	unsigned held;      /* lines back */
	struct lines lines;
	char text[];
};

/* ---- words to dtlsd ---- */

void ward_say_line(int channel, const struct keeper_line *line)
{
	/* dtlsd may be busy: a line is worth less than the wait */
	(void)!send(channel, line, offsetof(struct keeper_line, text) + strlen(line->text) + 1,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A NUL ends a text: what of a process's line is behind one goes as a blank. */
static void blank_nuls(char *text, size_t len)
{
	for (char *nul; (nul = memchr(text, '\0', len));)
		*nul = ' ';
}

__attribute__((format(printf, 3, 4)))
static void say(struct ward *w, enum log_level level, const char *fmt, ...)
{
	struct wards *k = w->keeper;
	struct keeper_line line = { .level = (uint8_t)level };
	va_list ap;
	int n;

	if (level > (enum log_level)atomic_load(&k->page->level))
		return;
	if (!ratelimit_take(&k->lines_rate, k->now)) {
		w->held++;
		return;
	}
	n = snprintf(line.text, sizeof(line.text), "service %s: process", w->job.service);
	if (w->pid > 0)
		n += snprintf(line.text + n, sizeof(line.text) - (size_t)n, " %d", (int)w->pid);
	va_start(ap, fmt);
	vsnprintf(line.text + n, sizeof(line.text) - (size_t)n, fmt, ap);
	va_end(ap);
	ward_say_line(k->channel, &line);
}

/* Between the lines that come through it says how many did not. */
static void say_held(struct ward *w)
{
	unsigned held = w->held;

	w->held = 0;
	if (held > 0)
		say(w, LOG_NOTICE_, ": %u lines were held back", held);
}

static void on_line(void *ctx, const char *text, size_t len)
{
	struct ward *w = ctx;
	char copy[LINES_MOST];

	if (!ratelimit_take(&w->lines_rate, w->keeper->now)) {
		w->held++;
		return;
	}
	memcpy(copy, text, len);
	blank_nuls(copy, len);
	say_held(w);
	say(w, LOG_NOTICE_, ": %.*s", (int)len, copy);
}

/* ---- wards ---- */

static bool watch(struct wards *k, struct ward *w, enum ward_part part, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = &w->watch[part] };

	w->watch[part] = (struct ward_watch){ w, part };
	return epoll_ctl(k->epoll, EPOLL_CTL_ADD, w->fd[part], &e) == 0;
}

static void close_part(struct ward *w, enum ward_part part)
{
	if (w->fd[part] < 0)
		return;
	/* closing alone does not do it: a process between fork and exec, or its child, may have it open, too */
	(void)epoll_ctl(w->keeper->epoll, EPOLL_CTL_DEL, w->fd[part], NULL);
	close(w->fd[part]);
	w->fd[part] = -1;
}

static void drop(struct ward *w)
{
	struct wards *k = w->keeper;

	wheel_cancel(&k->wheel, &w->timer);
	place_leave(&w->place);
	if (w->fd[WARD_SOCKET] >= 0)
		shutdown(w->fd[WARD_SOCKET], SHUT_RDWR); /* whoever else may have it */
	for (int i = 0; i < WARD_PARTS; i++)
		close_part(w, (enum ward_part)i);
	atomic_fetch_sub(&k->page->live[w->job.head.group], 1);
	k->count--;
	free(w);
}

static void set_timer(struct ward *w, uint64_t ms)
{
	wheel_set(&w->keeper->wheel, &w->timer, w->keeper->now + ms);
}

/* It is to be started again; ran: ms, 0: it did not start. */
static void rest(struct ward *w, uint64_t ran)
{
	w->pause = job_pause(w->pause, ran);
	w->state = WARD_AWAY;
	set_timer(w, w->pause);
}

/* There are more slots than wards with a process. */
static atomic_int *free_slot(struct wards *k)
{
	do {
		k->last_slot = (k->last_slot + 1) % JOB_PROCESSES_MOST;
	} while (atomic_load(&k->page->leader[k->last_slot]) != 0);
	return &k->page->leader[k->last_slot];
}

/*
 * It stands on the page before anything else: when the keeper is killed, dtlsd ends all that stand there, and who comes
 * too late for that ends by itself.
 */
static _Noreturn void begin_process(const struct ward *w, pid_t keeper, int errors)
{
	atomic_store(w->leader, getpid());
	if (getppid() != keeper)
		_exit(CHILD_FAILED);
	child_run(&w->job, w->fd[WARD_SOCKET], errors);
}

/* Its group goes with it, and its slot when it writes there no more, while its number is still its own. Its wait status. */
static int end_process(const struct ward *w)
{
	siginfo_t dead;
	int status = 0;

	child_signal(w->pid, SIGKILL);
	waitid(P_PID, (id_t)w->pid, &dead, WEXITED | WNOWAIT);
	atomic_store(w->leader, 0);
	waitpid(w->pid, &status, 0);
	return status;
}

/* 0 or -errno. */
static int start_process(struct wards *k, struct ward *w)
{
	const pid_t keeper = getpid();
	int errors[2];

	if (pipe2(errors, O_CLOEXEC) < 0)
		return -errno;
	w->leader = free_slot(k);
	w->pid = fork();
	if (w->pid == 0)
		begin_process(w, keeper, errors[1]);
	close(errors[1]);
	if (w->pid < 0) {
		close(errors[0]);
		return -errno;
	}
	atomic_store(w->leader, w->pid);
	w->fd[WARD_ERRORS] = errors[0];
	w->fd[WARD_PROCESS] = pidfd_open(w->pid, 0);
	if (w->fd[WARD_PROCESS] < 0 || fcntl(errors[0], F_SETFL, O_NONBLOCK) < 0 ||
	    !watch(k, w, WARD_PROCESS, EPOLLIN) || !watch(k, w, WARD_ERRORS, EPOLLIN)) {
		int err = errno;

		end_process(w);
		close_part(w, WARD_ERRORS);
		close_part(w, WARD_PROCESS);
		return -err;
	}
	return 0;
}

static void run(struct ward *w)
{
	struct wards *k = w->keeper;
	int err = start_process(k, w);

	if (err < 0) {
		atomic_fetch_add(&k->page->failed, 1);
		say(w, LOG_ERROR_, " could not be started: %s; see that memory, open files and processes suffice, lower "
		    "exec-processes", strerror(-err));
		if (w->job.head.kept)
			rest(w, 0);
		else
			drop(w);
		return;
	}
	atomic_fetch_add(w->before ? &k->page->restarted : &k->page->started, 1);
	say(w, w->before ? LOG_NOTICE_ : LOG_INFO_, " runs %s", w->job.argv[0]);
	w->state = WARD_RUNS;
	w->before = true;
	w->started_at = k->now;
}

/* ---- the end of a process ---- */

static uint32_t grace_of(const struct ward *w)
{
	uint32_t most = w->keeper->grace_most;

	return w->job.head.grace_ms < most ? w->job.head.grace_ms : most;
}

/* Dtlsd has closed its end, or is about to. */
static void leave(struct ward *w)
{
	if (w->state == WARD_AWAY) {
		drop(w);
		return;
	}
	if (w->state != WARD_RUNS)
		return;
	close_part(w, WARD_SOCKET);
	w->state = WARD_LEFT;
	set_timer(w, grace_of(w));
}

void ward_timer(void *ctx, struct timer *t)
{
	struct ward *w = (struct ward *)(void *)t;

	(void)ctx;
	switch (w->state) {
	case WARD_AWAY:
		run(w);
		break;
	case WARD_LEFT:
		child_signal(w->pid, SIGTERM);
		w->state = WARD_TOLD;
		set_timer(w, grace_of(w));
		break;
	case WARD_TOLD:
		atomic_fetch_add(&w->keeper->page->killed, 1);
		say(w, LOG_WARNING_, " is killed: it did neither end with its input nor on SIGTERM, each within %u ms; "
		    "mend it, or raise exec-grace", grace_of(w));
		child_signal(w->pid, SIGKILL);
		w->state = WARD_KILLED;
		break;
	case WARD_RUNS:
	case WARD_KILLED:
		break;
	}
}

static void say_end(struct ward *w, int status)
{
	bool well = status == 0, asked = w->state >= WARD_LEFT;
	bool cpu = WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU;
	enum log_level level = (well && !w->job.head.kept) || asked ? LOG_INFO_ : LOG_WARNING_;
	char how[80], then[80] = "";

	if (w->state == WARD_AWAY)
		snprintf(then, sizeof(then), "; it is started again in %u s, its sessions go on",
			 (unsigned)(w->pause / 1000));
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_FAILED)
		atomic_fetch_add(&w->keeper->page->failed, 1);
	job_end_text(status, how, sizeof(how));
	say(w, level, " %s%s%s", how, cpu ? ": mend it, or raise exec-cpu" : "", then);
}

static void read_errors(struct ward *w)
{
	char data[4096];
	ssize_t n;

	for (int i = 0; i < 16 && (n = read(w->fd[WARD_ERRORS], data, sizeof(data))) >= 0; i++) {
		if (n == 0) {
			close_part(w, WARD_ERRORS);
			break;
		}
		lines_add(&w->lines, data, (size_t)n, on_line, w);
	}
}

static void on_exit_of(struct ward *w)
{
	siginfo_t i = { .si_pid = 0 };
	bool again = w->state == WARD_RUNS && w->job.head.kept;
	int status;

	if (waitid(P_PID, (id_t)w->pid, &i, WEXITED | WNOHANG | WNOWAIT) < 0 || i.si_pid == 0)
		return;
	status = end_process(w);
	if (w->fd[WARD_ERRORS] >= 0)
		read_errors(w);
	lines_end(&w->lines, on_line, w);
	say_held(w);
	close_part(w, WARD_ERRORS);
	close_part(w, WARD_PROCESS);
	if (again)
		rest(w, w->keeper->now - w->started_at);
	say_end(w, status);
	if (!again)
		drop(w);
}

/* ---- what the keeper calls ---- */

bool ward_new(struct wards *k, const char *request, size_t len, int socket)
{
	struct ward *w = calloc(1, sizeof(*w) + len);

	if (!w) {
		close(socket);
		return false;
	}
	memcpy(w->text, request, len);
	w->keeper = k;
	w->fd[WARD_SOCKET] = socket;
	w->fd[WARD_PROCESS] = w->fd[WARD_ERRORS] = -1;
	ratelimit_init(&w->lines_rate, LINES_RATE, LINES_BURST, k->now);
	if (!job_read(&w->job, w->text, len) || !watch(k, w, WARD_SOCKET, 0)) {
		close(socket);
		free(w);
		return false;
	}
	place_append(&k->all, &w->place);
	k->count++;
	run(w);
	return true;
}

void ward_event(const struct ward_watch *v)
{
	switch (v->part) {
	case WARD_SOCKET:
		leave(v->ward);
		break;
	case WARD_PROCESS:
		on_exit_of(v->ward);
		break;
	case WARD_ERRORS:
		read_errors(v->ward);
		break;
	case WARD_PARTS:
		break;
	}
}

void wards_end(struct wards *k, uint32_t ms)
{
	struct place *next;

	k->grace_most = ms / 2;
	for (struct place *p = k->all.next; p != &k->all; p = next) {
		struct ward *w = (struct ward *)(void *)((char *)p - offsetof(struct ward, place));

		next = p->next;
		if (w->state == WARD_LEFT || w->state == WARD_TOLD) {
			if (w->timer.expiry > k->now + k->grace_most)
				set_timer(w, k->grace_most);
		} else {
			leave(w);
		}
	}
}
