/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "escape.h"

/* A line is at most PIPE_BUF bytes, so that lines of several threads never mix in a pipe. */
#define LOG_LINE_MAX 4096

static_assert(LOG_BURST < 256, "the lines of a window are counted in one byte");

static _Atomic int log_sink = LOG_TO_STDERR;
static _Atomic int log_most = LOG_NOTICE_;
static atomic_bool log_journal;

static const char *const level_name[] = { "error", "warning", "notice", "info", "debug" };
static const int level_priority[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

/*
 * systemd names the stream it gave us as "device:inode" in JOURNAL_STREAM. The variable is inherited by
 * children whose stderr was redirected since, hence the comparison (sd-journald's own advice).
 */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	char own[64];

	if (stream == NULL || fstat(STDERR_FILENO, &st) != 0)
		return false;
	snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(own, stream) == 0;
}

void log_open(enum log_sink sink, enum log_level most, const char *ident)
{
	if (sink == LOG_TO_SYSLOG)
		openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	atomic_store(&log_journal, sink == LOG_TO_STDERR && stderr_is_journal());
	atomic_store(&log_most, (int)most);
	atomic_store(&log_sink, (int)sink);
}

void log_set_level(enum log_level most)
{
	atomic_store(&log_most, (int)most);
}

enum log_level log_level(void)
{
	return (enum log_level)atomic_load_explicit(&log_most, memory_order_relaxed);
}

/* "2026-11-21T22:12:18.123Z " */
static size_t put_date(char *out, size_t size)
{
	uint64_t ms = clock_wall_ms();
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	int n;

	if (gmtime_r(&s, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	n = snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ ", tm.tm_year + 1900, tm.tm_mon + 1,
		     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(ms % 1000));
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

/* Writes the whole line, or what the descriptor takes of it. */
static void emit(enum log_level level, const char *text, size_t len)
{
	char line[LOG_LINE_MAX];
	size_t n = 0;
	ssize_t rc;

	if (atomic_load(&log_sink) == LOG_TO_SYSLOG) {
		syslog(level_priority[level], "%s", text);
		return;
	}
	if (atomic_load(&log_journal))
		n = (size_t)snprintf(line, 8, "<%d>", level_priority[level]);
	else
		n = put_date(line, 64);
	assert(n + len + 1 <= sizeof(line));
	memcpy(line + n, text, len);
	n += len;
	line[n++] = '\n';
	do {
		rc = write(STDERR_FILENO, line, n);
	} while (rc < 0 && errno == EINTR);
}

/* "warning: peer=192.0.2.1:5684 local=[::1]:4433 " */
static size_t put_head(char *out, size_t size, enum log_level level, const struct flow *flow)
{
	char peer[ADDR_TEXT_MAX], local[ADDR_TEXT_MAX];
	bool has_peer = flow != NULL && flow->peer.family != 0;
	bool has_local = flow != NULL && flow->local.family != 0;
	int n;

	n = snprintf(out, size, "%s: %s%s%s%s%s%s", level_name[level],
		     has_peer ? "peer=" : "", has_peer ? addr_format(&flow->peer, peer) : "",
		     has_peer ? " " : "", has_local ? "local=" : "",
		     has_local ? addr_format(&flow->local, local) : "", has_local ? " " : "");
	assert(n > 0 && (size_t)n < size);
	return (size_t)n;
}

__attribute__((format(printf, 4, 0)))
static void vwrite(enum log_level level, const struct flow *flow, uint32_t held, const char *fmt, va_list ap)
{
	char raw[LOG_LINE_MAX], text[LOG_LINE_MAX - 64], end[40] = "";
	int saved = errno, n;
	size_t len, used;

	used = put_head(raw, sizeof(raw), level, flow);
	errno = saved; /* for %m */
	n = vsnprintf(raw + used, sizeof(raw) - used, fmt, ap);
	if (n < 0) /* a conversion failed: the bare format still says which line it is */
		n = snprintf(raw + used, sizeof(raw) - used, "%s", fmt);
	len = used + (size_t)n;
	if (len >= sizeof(raw))
		len = sizeof(raw) - 1; /* more than text holds, so that escape_text marks the cut */
	if (held > 0)
		snprintf(end, sizeof(end), " (%" PRIu32 " more held back)", held);
	len = escape_text(text, sizeof(text) - strlen(end), raw, len);
	memcpy(text + len, end, strlen(end) + 1);
	emit(level, text, len + strlen(end));
	errno = saved;
}

void log_write(enum log_level level, const struct flow *flow, const char *fmt, ...)
{
	va_list ap;

	if (level > log_level())
		return;
	va_start(ap, fmt);
	vwrite(level, flow, 0, fmt, ap);
	va_end(ap);
}

/* Whether a line may be written now; *held is then the number to tell of. */
static bool gate_open(struct log_gate *gate, uint32_t *held)
{
	uint64_t now = clock_mono_ms() / 1000 + 1; /* + 1: 0 is a window that never began */
	uint64_t old = atomic_load_explicit(&gate->window, memory_order_relaxed), next;
	bool opens;

	*held = 0;
	do {
		uint64_t began = old >> 8;

		/* now < began: another thread opened it after this one read the clock */
		opens = began == 0 || (now > began && now - began >= LOG_WINDOW_S);
		if (opens) {
			next = now << 8 | 1;
		} else if ((old & 0xff) < LOG_BURST) {
			next = old + 1;
		} else {
			atomic_fetch_add_explicit(&gate->held, 1, memory_order_relaxed);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(&gate->window, &old, next, memory_order_relaxed,
							memory_order_relaxed));
	if (opens)
		*held = atomic_exchange_explicit(&gate->held, 0, memory_order_relaxed);
	return true;
}

void log_write_limited(struct log_gate *gate, enum log_level level, const struct flow *flow,
		       const char *fmt, ...)
{
	uint32_t held;
	va_list ap;

	if (level > log_level() || !gate_open(gate, &held))
		return;
	va_start(ap, fmt);
	vwrite(level, flow, held, fmt, ap);
	va_end(ap);
}
