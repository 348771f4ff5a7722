/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uplink: what the clients of a connect service share towards its servers: credentials, and of each server the session
 * that they all resume, how many handshakes are under way and how it has failed lately. Outlives reloads that do not
 * change whom they talk to. Counted; shared by the workers (mutex; asked only around handshakes), whose times may differ
 * by a few ms.
 */
#ifndef DTLSD_UPLINK_H
#define DTLSD_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "addr.h"
#include "tls_client.h"

/* A server's ticket may live longer, but what was verified is verified anew after so long. */
#define UPLINK_SAVED_MS (60 * 60 * 1000)

struct uplink;
struct uplink *uplink_new(struct tls_client *tls); /* a reference is taken. NULL: out of memory */
struct uplink *uplink_ref(struct uplink *u);
void uplink_unref(struct uplink *u); /* NULL is fine */
struct tls_client *uplink_tls(const struct uplink *u);

/* Handshakes with one server at a time: it might take us for a flood, or be kept busy by us alone. */
#define UPLINK_DIALS 64

enum uplink_verdict {
	UPLINK_GO,   /* uplink_dialed or uplink_failed is due */
	UPLINK_WAIT, /* ask again soon: there are UPLINK_DIALS, or the first tells whether sessions are resumed */
	UPLINK_DOWN  /* the server has failed lately */
};
/* A session to resume. Sessions have numbers, later ones higher ones. */
struct uplink_offer {
	gnutls_datum_t saved; /* size 0: none */
	unsigned number;
};
/* May a handshake with that server begin? With a copy of the session to resume. */
enum uplink_verdict uplink_may_dial(struct uplink *u, const struct addr *server, uint64_t now_ms,
				    struct uplink_offer *offer);
void uplink_forget(gnutls_datum_t *saved); /* wipes and frees it */
/*
 * It is done; offered: the number of the session to resume; saved: that which it left, size 0: none, it was resumed or
 * the server keeps none. Copied. true: the server had failed before.
 */
bool uplink_dialed(struct uplink *u, const struct addr *server, unsigned offered, const gnutls_datum_t *saved,
		   bool resumed, uint64_t now_ms);
enum uplink_failure {
	UPLINK_OURS,    /* it was given up, which says nothing about the server */
	UPLINK_SILENT,  /* it refused, or nothing came */
	UPLINK_ANSWERED /* it spoke, and no session came of it */
};
/* It came to nothing. */
void uplink_failed(struct uplink *u, const struct addr *server, enum uplink_failure why, uint64_t began_ms,
		   uint64_t now_ms);

/* A session was made, and the server ended it at once. It is left alone for a moment, as if it had failed. */
void uplink_turned_away(struct uplink *u, const struct addr *server, uint64_t began_ms, uint64_t now_ms);

/*
 * A server that does not know a session any more that had been resumed before was restarted, as a rule, and knows none
 * of those from before. When it soon does not know the one after that either, of which UPLINK_AGREE handshakes have not
 * shown that it keeps it, it is several servers that share nothing: what was believed is taken back, and for
 * UPLINK_DOUBT_MS it is not believed again.
 */
#define UPLINK_AGREE 4
#define UPLINK_AGREE_MS 5000
#define UPLINK_DOUBT_MS 60000

/* How often any of the servers has forgotten sessions, so as to look whether it was this one. */
unsigned uplink_forgetful(const struct uplink *u);
/* The number of the newest session with a server. */
unsigned uplink_newest(struct uplink *u, const struct addr *server);
/* Does it know none any more that was there when that one was the newest? */
bool uplink_has_forgotten(struct uplink *u, const struct addr *server, unsigned number);

#endif
