/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * psk_ask: pre-shared keys that a program knows, asked for over a unix datagram socket (the protocol is in dtlsd(8)).
 * One worker's: each worker asks for itself, and remembers the answers for a while. GnuTLS cannot wait for a key, so
 * a handshake asks before GnuTLS sees the identity, and stands in a line until the answer is there.
 *
 * Nothing waits here for ever and nothing grows without a bound: who waits comes back to ask again, and gives up when
 * he likes; a question without an answer is put again; while the program is not there all are told so at once,
 * and it is tried again after a time that doubles.
 */
#ifndef DTLSD_PSK_ASK_H
#define DTLSD_PSK_ASK_H

#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "metrics.h"
#include "place.h"
#include "psk.h"
#include "upstream.h"

#define PSK_ASK_KNOWN 4096      /* identities of one program that are asked for or remembered */
#define PSK_ASK_AGAIN_MS 1000   /* until a question is put once more */
#define PSK_ASK_NO_MS 10000     /* what is unknown is remembered no longer than that: it may be new soon */
#define PSK_ASK_DOWN_MS 100     /* the first time until a program that is not there is tried again */
#define PSK_ASK_DOWN_MOST_MS 5000

/* A program, as a service has it. Immutable. */
struct psk_source {
	uint64_t id; /* of these settings: no other struct psk_source of this process has it */
	struct backend_addr at;
	uint32_t remember_ms;
};

/* Fills in all; the path has at most UNIX_NAME_MOST bytes. */
void psk_source_init(struct psk_source *s, const char *path, uint32_t remember_ms);

struct psk_key {
	uint8_t data[PSK_KEY_MAX];
	size_t len;
};

struct psk_asks;
/* All borrowed; now: ms. NULL: out of memory. */
struct psk_asks *psk_asks_new(struct upstream *u, struct metrics *m, const uint64_t *now);
void psk_asks_free(struct psk_asks *a); /* NULL is fine; before the upstream; nobody may wait any more */

enum psk_answer {
	PSK_ANSWER_KEY,     /* here it is */
	PSK_ANSWER_UNKNOWN, /* the program does not know the identity */
	PSK_ANSWER_WAIT,    /* the waiter stands in a line now; it leaves when it does not want to wait any more */
	PSK_ANSWER_DOWN     /* the program is not there, or out of memory */
};

/* len: 1 to PSK_IDENTITY_MAX. The waiter may stand in one of our lines, and then leaves it. */
enum psk_answer psk_ask(struct psk_asks *a, const struct psk_source *from, const void *identity, size_t len,
			struct place *waiter, struct psk_key *out);
/* One for whom there is news, out of the line: let it ask again. NULL: there is none. */
struct place *psk_asks_news(struct psk_asks *a);
/* Programs that nobody has asked for long are forgotten; to be called about once a second. */
void psk_asks_clean(struct psk_asks *a);

#endif
