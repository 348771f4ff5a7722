/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line: one DTLS session to a remote server over one connected UDP socket: a handshake first (dial), then records in the
 * record layer of record.h. Who owns it is told what comes, and looks afterwards how it stands.
 */
#ifndef DTLSD_LINE_H
#define DTLSD_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "env.h"
#include "record.h"
#include "service.h"
#include "upstream.h"

enum line_state {
	LINE_DIALING,
	LINE_OPEN,
	LINE_REFUSED, /* it was open, but nobody seems to be there who knows it: what is said may be lost */
	LINE_OVER     /* the server has ended it, or the handshake came to nothing, which is in the log */
};

struct line;

struct line_owner {
	/* Application data, borrowed. The line stays for the length of the call. */
	void (*data)(void *ctx, const uint8_t *data, size_t len);
	/* What has come, or not come, may have changed its state. As the last act, from where it may be closed. */
	void (*changed)(void *ctx, struct line *l);
	/* The same from where nothing may be closed: look at it soon. */
	void (*soon)(void *ctx, struct line *l);
	void *ctx;
};

struct line_config {
	struct env *env;
	struct service *service;     /* a connect service; a reference is taken */
	unsigned backend;            /* its server, by index */
	const struct uplink_offer *offer; /* of uplink_may_dial, which said UPLINK_GO */
	struct line_owner owner;
};

/*
 * Says hello. 0: LINE_DIALING, or over already. -errno as of upstream_open, or -ENOMEM: there is none, *out is NULL, and
 * uplink_failed is the caller's to call.
 */
int line_open(struct line **out, const struct line_config *c);
/* Says close_notify where it is open; gives up a handshake. */
void line_close(struct line *l);

enum line_state line_state(const struct line *l);
/* One datagram, sealed. 0; -EMSGSIZE: larger than a record; -ECONNRESET: not open, or at its end; -ENOMEM. */
int line_send(struct line *l, const void *data, size_t len);
/* UINT64_MAX: no time is waited for. */
uint64_t line_due(const struct line *l);
void line_tick(struct line *l);
/* The server has forgotten sessions since it was last heard of over this one: this one, too, as it seems. */
bool line_forgotten(struct line *l);

#endif
