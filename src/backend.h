/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend: the servers behind a forwarding service: which of them a new session gets, and which are down.
 *
 * One struct backends serves all workers. Addresses and weights never change; what is known of their health is
 * in relaxed atomics that are written when it changes, or once in a tenth of a second, not with every datagram. So
 * all workers hear from one of them that a backend is down, and the log says so once.
 *
 * A backend is down when it refuses (an ICMP error, a unix socket that nobody has), or when it is silent while
 * others answer: BACKEND_SILENT datagrams in a row went there, the first of them longer ago than the silence allowed.
 * Once a second one datagram is then let through as a trial. The backend is back when it is heard of; after a
 * refusal also when it has refused nothing for BACKEND_PROBATION_MS of trials, as it may be one that never answers.
 */
#ifndef DTLSD_BACKEND_H
#define DTLSD_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "unix_name.h"

#define BACKEND_MOST 64
#define BACKEND_WEIGHT_MOST 100
#define BACKEND_SILENT 5
#define BACKEND_TRIAL_MS 1000
#define BACKEND_PROBATION_MS 4000 /* a host that is gone is reported after three seconds */
#define BACKEND_TEXT_MAX (UNIX_NAME_MOST + 8)

struct backend_addr {
	struct addr addr;                 /* family 0: path holds it */
	char path[UNIX_NAME_MOST + 1];    /* a unix datagram socket's name, as of unix_name.h */
};

/* Counted. */
struct backends;

/*
 * "192.0.2.1:5683,[2001:db8::1]:5683*2,name:5683,unix:/run/coap.sock": a weight (1 where none is given) stands for
 * its share of the sessions; a name that has several addresses stands for as many backends. Asks the resolver.
 * silence_ms 0: silence is never held against a backend. NULL: err says what is wrong and what to write.
 */
struct backends *backends_parse(const char *text, uint64_t silence_ms, char *err, size_t err_size);
struct backends *backends_ref(struct backends *b);
void backends_unref(struct backends *b); /* NULL is fine */
/* The same text once more: its names may have other addresses now. */
struct backends *backends_again(const struct backends *b, char *err, size_t err_size);
bool backends_named(const struct backends *b); /* one of them at least was given by name */
/* The same addresses with the same weights, in whatever order. */
bool backends_same(const struct backends *a, const struct backends *b);
/* What is known of an address that was in before, too, goes on. For a b that nobody uses yet. */
void backends_inherit(struct backends *b, const struct backends *before);

unsigned backends_count(const struct backends *b);
const struct backend_addr *backends_addr(const struct backends *b, unsigned i);
const char *backend_format(const struct backend_addr *a, char buf[static BACKEND_TEXT_MAX]);

/*
 * One for a new session: by weight and turn of those that are up, or one that is down for a trial (*trial: its next
 * datagram goes without backends_may_send). When all are down, whose turn it is.
 */
unsigned backends_choose(struct backends *b, uint64_t now_ms, bool *trial);
/* Another one than i that is up, for a session of that one. -1: there is none. */
int backends_other(struct backends *b, unsigned i, uint64_t now_ms);
/* Before each datagram to i. False: it is down, and this is no trial. */
bool backends_may_send(struct backends *b, unsigned i, uint64_t now_ms);
/* It went. */
void backends_sent(struct backends *b, unsigned i, uint64_t now_ms);
void backends_heard(struct backends *b, unsigned i, uint64_t now_ms);
/* why: the error number, for the log. */
void backends_refused(struct backends *b, unsigned i, int why, uint64_t now_ms);

#endif
