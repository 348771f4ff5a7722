/* SPDX-License-Identifier: BSD-2-Clause */
/* dtlsc: talks lines of text with a DTLS 1.2 server. See dtlsc(1). */
#include "dtlsc_conn.h"
#include "dtlsc_console.h"
#include "dtlsc_cred.h"
#include "dtlsc_options.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define LINES_PER_TURN 8  /* then answers get their turn: what is not read in time is lost */
#define PAUSE_MS 1        /* between turns, or a long file would overrun the server's socket */
#define CLOSING_MS 1000	  /* how long the server's own close_notify is waited for */

enum phase {
	TALKING,   /* input is read */
	LISTENING, /* piped input has ended, answers may come */
	CLOSING	   /* our close_notify is sent, the server's may come */
};

struct client {
	struct dtlsc_options options;
	struct cred cred;
	struct console console;
	struct conn conn;
	enum phase phase;
	int64_t until; /* end of LISTENING or CLOSING, in ms of the monotonic clock */
	int signal_fd;
	bool more_lines; /* input that was read holds more lines */
	bool over;
	bool unsent; /* a piped line was not sent */
	enum dtlsc_exit status;
	char record[DTLS_PLAINTEXT_MAX + 1];
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void finish(struct client *c, enum dtlsc_exit status)
{
	c->over = true;
	c->status = status;
}

static void start_closing(struct client *c)
{
	if (c->phase == CLOSING)
		return;
	conn_bye(&c->conn);
	c->phase = CLOSING;
	c->until = now_ms() + CLOSING_MS;
}

static void handle_network(struct client *c)
{
	enum dtlsc_exit status = DTLSC_OK;
	size_t len = 0;

	for (;;) {
		switch (conn_receive(&c->conn, c->record, sizeof(c->record), &len, &status)) {
		case CONN_IDLE: return;
		case CONN_DATA:
			console_print(&c->console, c->record, len);
			if (c->phase == LISTENING)
				c->until = now_ms() + c->options.wait_ms;
			break;
		case CONN_CLOSED:
			if (c->phase != CLOSING) {
				console_note(&c->console, "%s: the server has closed the conversation",
					     c->conn.peer);
				conn_bye(&c->conn);
			}
			finish(c, DTLSC_OK);
			return;
		case CONN_FAILED: finish(c, status); return;
		}
	}
}

static void say_too_long(struct client *c, size_t len)
{
	console_note(&c->console, "line %lu: not sent: %zu bytes, at most %zu fit: shorten it%s",
		     c->console.line_number, len, conn_send_max(&c->conn) - 1,
		     len < CONSOLE_LINE_MAX ? " or give a larger --mtu" : "");
	c->unsent = true;
}

/* A line travels with its newline, as one record. */
static void send_line(struct client *c, const char *line, size_t len)
{
	char *record = c->record;
	int ret;

	if (len + 1 > sizeof(c->record)) {
		say_too_long(c, len);
		return;
	}
	memcpy(record, line, len);
	record[len] = '\n';
	ret = conn_send(&c->conn, record, len + 1);
	if (ret == -EMSGSIZE) {
		say_too_long(c, len);
	} else if (ret != 0) {
		console_note(&c->console, "line %lu: may be lost: %s", c->console.line_number,
			     strerror(-ret));
		c->unsent = true;
	}
}

static void handle_lines(struct client *c)
{
	const char *line = NULL;
	size_t len = 0;

	c->more_lines = false;
	for (int i = 0; i < LINES_PER_TURN && !c->conn.blocked; i++) {
		switch (console_next(&c->console, &line, &len)) {
		case CONSOLE_LINE: send_line(c, line, len); break;
		case CONSOLE_LONG: say_too_long(c, len); break;
		case CONSOLE_NONE: return;
		case CONSOLE_END:
			if (c->console.input_is_terminal) {
				start_closing(c);
			} else {
				c->phase = LISTENING;
				c->until = now_ms() + c->options.wait_ms;
			}
			return;
		}
	}
	c->more_lines = true;
}

static void suspend(struct client *c)
{
	if (c->console.edit != NULL)
		edit_suspend(c->console.edit);
	raise(SIGSTOP);
	if (c->console.edit != NULL)
		edit_resume(c->console.edit);
}

static void handle_signal(struct client *c)
{
	struct signalfd_siginfo info;

	if (read(c->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGWINCH:
		if (c->console.edit != NULL)
			edit_resize(c->console.edit);
		break;
	case SIGTSTP: suspend(c); break;
	default: /* a second one does not wait for the server */
		if (c->phase == CLOSING)
			finish(c, DTLSC_OK);
		console_stop(&c->console);
		start_closing(c);
	}
}

static void handle_deadline(struct client *c)
{
	if (c->phase == TALKING || now_ms() < c->until)
		return;
	if (c->phase == LISTENING) {
		start_closing(c);
		return;
	}
	console_detail(&c->console,
		       "%s: no close_notify came back: the server may be gone, or does not send one",
		       c->conn.peer);
	finish(c, DTLSC_OK);
}

static int poll_timeout(const struct client *c)
{
	int64_t left;

	if (c->phase == TALKING)
		return c->more_lines && !c->conn.blocked ? PAUSE_MS : -1;
	left = c->until - now_ms();
	return left > 0 ? (int)left : 0;
}

static void converse(struct client *c)
{
	while (!c->over) {
		bool reading = c->phase == TALKING && !c->more_lines && !c->conn.blocked;
		struct pollfd fds[] = {
			{.fd = c->conn.fd, .events = POLLIN | (c->conn.blocked ? POLLOUT : 0)},
			{.fd = c->signal_fd, .events = POLLIN},
			{.fd = reading ? STDIN_FILENO : -1, .events = POLLIN},
		};

		if (poll(fds, 3, poll_timeout(c)) < 0 && errno != EINTR) {
			console_note(&c->console, "poll: %s", strerror(errno));
			finish(c, DTLSC_LOCAL);
			return;
		}
		if (c->conn.blocked && fds[0].revents != 0)
			conn_flush(&c->conn);
		/* Each turn: it also sends what GnuTLS owes, and looks for an error of the last send. */
		handle_network(c);
		if (!c->over && fds[1].revents != 0)
			handle_signal(c);
		if (fds[2].revents != 0 && c->phase == TALKING)
			console_fill(&c->console);
		if (!c->over && c->phase == TALKING)
			handle_lines(c);
		if (c->console.output_failed && c->phase != CLOSING)
			start_closing(c);
		handle_deadline(c);
	}
}

/* From now on a signal ends the conversation properly and gives the terminal back. */
static int take_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static enum dtlsc_exit run(struct client *c)
{
	char err[1024] = "";

	if (c->options.insecure)
		console_note(&c->console,
			     "WARNING: --insecure: the server is not verified: anyone on the way can "
			     "read and change what is said");
	if (getenv("SSLKEYLOGFILE") != NULL)
		console_note(&c->console,
			     "WARNING: SSLKEYLOGFILE is set: the session's secrets are written to it");
	c->status = cred_load(&c->cred, &c->options, err, sizeof(err));
	if (c->status != DTLSC_OK) {
		console_note(&c->console, "%s", err);
		return c->status;
	}
	c->status = conn_open(&c->conn, &c->options, &c->cred, &c->console);
	if (c->status != DTLSC_OK)
		return c->status;
	c->signal_fd = take_signals();
	if (c->signal_fd < 0) {
		console_note(&c->console, "signalfd: %s", strerror(errno));
		return DTLSC_LOCAL;
	}
	if (c->console.input_is_terminal)
		console_note(&c->console, "connected to %s; each line is sent, ctrl-d ends", c->conn.peer);
	console_start(&c->console);
	converse(c);
	console_stop(&c->console);
	close(c->signal_fd);
	if (c->status == DTLSC_OK &&
	    (c->console.output_failed || (c->unsent && !c->console.input_is_terminal)))
		c->status = DTLSC_LOCAL;
	return c->status;
}

/* Else a socket could become standard output. */
static void open_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	char err[512];
	struct client *c = calloc(1, sizeof(*c));
	enum dtlsc_exit status;

	open_standard_descriptors();
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	if (c == NULL) {
		fputs("dtlsc: out of memory\n", stderr);
		return DTLSC_LOCAL;
	}
	c->conn.fd = -1;
	switch (dtlsc_options_read(&c->options, argc, argv, err, sizeof(err))) {
	case DTLSC_DONE: status = fflush(stdout) == 0 ? DTLSC_OK : DTLSC_LOCAL; break;
	case DTLSC_BAD:
		fprintf(stderr, "dtlsc: %s\n", err);
		status = DTLSC_USAGE;
		break;
	default:
		console_init(&c->console, c->options.verbose);
		status = run(c);
		break;
	}
	conn_close(&c->conn);
	cred_free(&c->cred);
	dtlsc_options_free(&c->options);
	free(c);
	return (int)status;
}
