/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handler: who answers. A handler is one file with one struct handler, named in handlers.c; that is
 * all it takes to add one.
 *
 * All calls come from the worker that owns the session; none may block. Inside any of them the
 * handler may call session_send, session_close and the rest of session.h for that session, and what
 * bus.h offers to handlers.
 */
#ifndef DTLSD_HANDLER_H
#define DTLSD_HANDLER_H

#include <stddef.h>
#include <stdint.h>

struct session;

struct handler {
	const char *name;
	const char *help; /* one line for --help and the manual */

	/*
	 * A session is there. 0, or a negative errno to refuse it (it is closed with close_notify and close
	 * is not called); but for -ENOMEM the handler has logged why, and what to do. May keep its own state with session_set_state. NULL: nothing to do.
	 */
	int (*open)(struct session *s);
	/* One record's plaintext, 0..16384 bytes, borrowed for the length of the call. */
	void (*record)(struct session *s, const uint8_t *data, size_t len);
	/* The session is over, for whatever reason: free the state. Nothing can be sent. NULL: nothing to do. */
	void (*close)(struct session *s);
};

/* The built-in handlers, ending with NULL. */
extern const struct handler *const handlers[];
const struct handler *handler_find(const char *name); /* NULL: no such */

#endif
