/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshake: one DTLS 1.2 handshake under way, server side, on sans-I/O terms: records and the time
 * come in, datagrams leave through env->txq. The only owner of GnuTLS sessions.
 *
 * GnuTLS is used as an engine for handshake messages and nothing else. What the network does to a
 * flight is dealt with here: fragments are put in order and together before GnuTLS sees them (reassembly),
 * messages that a client cannot send now never reach it, ChangeCipherSpec and Finished wait for their
 * turn (intake), and our own flights are kept and packed by flight, resent and cut smaller by retransmit.
 * Its timers are off.
 */
#ifndef DTLSD_HANDSHAKE_H
#define DTLSD_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include <gnutls/gnutls.h>
#include <gnutls/dtls.h>

#include "addr.h"
#include "classify.h"
#include "env.h"
#include "flight.h"
#include "place.h"
#include "record.h"
#include "table.h"
#include "tls.h"
#include "tls_about.h"
#include "tls_names.h"
#include "wheel.h"

struct handshake;

enum handshake_verdict {
	HANDSHAKE_GOING,
	HANDSHAKE_DONE,  /* call handshake_finish */
	HANDSHAKE_FAILED /* alert sent and cause logged; call handshake_free */
};

/*
 * For a peer that the gate has admitted: hello is the RECORD_HELLO that proved it, handed to
 * handshake_record next by the caller; a service is there for the listener. NULL: out of memory or GnuTLS refused (logged).
 */
struct handshake *handshake_new(struct env *env, const struct flow *flow, uint32_t listener,
				const struct hello *hello, gnutls_dtls_prestate_st *prestate);
void handshake_free(struct handshake *h);

/* The engine files handshakes by flow and arms their timer. */
struct table_node *handshake_node(struct handshake *h);
struct handshake *handshake_of_node(struct table_node *n);
struct timer *handshake_timer(struct handshake *h);
struct handshake *handshake_of_timer(struct timer *t);
/* Half-open: its peer has not gone on after the hello. The place is for a line of such, oldest first. */
bool handshake_half_open(const struct handshake *h);
struct place *handshake_place(struct handshake *h);
struct handshake *handshake_of_place(struct place *p);
uint32_t handshake_listener(const struct handshake *h);
uint64_t handshake_due(const struct handshake *h); /* when handshake_tick wants to be called; UINT64_MAX: not now */

/* Is this hello the one that began this handshake, sent again? */
bool handshake_same_hello(const struct handshake *h, const struct hello *hello);
/* What the engine keeps of the hello whose handshake this one took the place of; 0: there was none. */
void handshake_set_before(struct handshake *h, uint64_t tag);
uint64_t handshake_before(const struct handshake *h);
const uint8_t *handshake_random(const struct handshake *h); /* DTLS_RANDOM_SIZE bytes */

/* Any record from the peer: epoch 0, or epoch 1 for the Finished and for data that overtook it. */
enum handshake_verdict handshake_record(struct handshake *h, const struct record *r);
/*
 * What the peer sent is dealt with as far as it has come and the steps of this turn go; then the handshake
 * waits in line in env->steps, and its timers rest. To be called when it is its turn (steps_call), and when there is news
 * of a key that it asks for (psk_asks_news).
 */
enum handshake_verdict handshake_proceed(struct handshake *h);
struct handshake *handshake_in_line(struct place *p); /* whose place in env->steps this is */
struct handshake *handshake_asking(struct place *p);  /* and whose in env->asks, where it waits for a key */
/* Time passes: a flight is resent, or the handshake given up. */
enum handshake_verdict handshake_tick(struct handshake *h);
/* The kernel says that a datagram of ours was larger than the path: mtu is what fits, 0 unknown. */
void handshake_too_large(struct handshake *h, size_t mtu);

/* What a finished handshake leaves behind. The caller owns it. */
struct handshake_result {
	struct record_state record;
	char *identity;        /* NULL: nobody in particular. malloc'd */
	struct tls_grant grant;
	const struct tls *tls; /* what it was served with; borrowed of the handshake */
	char alpn[TLS_ALPN_MOST + 1]; /* "": no protocol was agreed on */
	size_t mtu;
	bool resumed;
	const char *kx;        /* static names, for the log */
};
/* After HANDSHAKE_DONE. false: the keys are not ones that we can serve (logged, alert sent). */
bool handshake_finish(struct handshake *h, struct handshake_result *out);
/* After handshake_finish: what it has told of the client. */
void handshake_about(const struct handshake *h, struct tls_about *out);
void handshake_names(const struct handshake *h, struct tls_names *out);
/* After handshake_finish, once: our last flight where the peer may ask for it again, else NULL. The caller owns it. */
struct flight *handshake_take_final(struct handshake *h);
/* Instead: there is no place for it. The peer, which may take itself for connected, gets a fatal alert. */
void handshake_refuse(struct handshake *h);
/* Records of epoch 1 that came before the keys: calls each in order, then forgets them. */
void handshake_early(struct handshake *h, void (*each)(void *ctx, uint8_t *data, size_t len), void *ctx);

#endif
