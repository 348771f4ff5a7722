/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log: one line per event, to stderr (with systemd's <N> priorities when stderr is the journal) or
 * to syslog. Thread-safe. Never blocks on anything but the write itself; a failed write is dropped.
 * errno is kept, and %m may be used.
 *
 * Form on a plain stderr:  "2026-11-21T22:12:18.123Z warning: peer=192.0.2.1:5684 local=[::1]:4433 text"
 * (no date when the journal or syslog adds one; peer= and local= only where given).
 */
#ifndef DTLSD_LOG_H
#define DTLSD_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include "addr.h"

enum log_level { LOG_ERROR_, LOG_WARNING_, LOG_NOTICE_, LOG_INFO_, LOG_DEBUG_ };
enum log_sink { LOG_TO_STDERR, LOG_TO_SYSLOG };

/* ident is borrowed for the life of the process. Default before the call: stderr, notice. */
void log_open(enum log_sink sink, enum log_level most, const char *ident);
enum log_level log_level(void);
void log_set_level(enum log_level most);

/* flow may be NULL. The finished line is escaped: see escape.h. */
void log_write(enum log_level level, const struct flow *flow, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The same, for what a stranger can cause: at most LOG_BURST lines per LOG_WINDOW_S seconds and call
 * site; when a site opens again its first line ends in " (N more held back)".
 */
#define LOG_BURST 5
#define LOG_WINDOW_S 10
struct log_gate {
	_Atomic uint64_t window; /* second at which it began and, in the low byte, its lines */
	_Atomic uint32_t held;   /* lines held back since the last one written */
};
void log_write_limited(struct log_gate *gate, enum log_level level, const struct flow *flow,
		       const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#define log_error(...) log_write(LOG_ERROR_, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING_, NULL, __VA_ARGS__)
#define log_notice(...) log_write(LOG_NOTICE_, NULL, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO_, NULL, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG_, NULL, __VA_ARGS__)

#define log_limited(level, flow, ...)                                       \
	do {                                                                \
		static struct log_gate log_gate_here;                       \
		log_write_limited(&log_gate_here, level, flow, __VA_ARGS__); \
	} while (0)

#endif
