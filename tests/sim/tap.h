/* SPDX-License-Identifier: BSD-2-Clause */
/* tap: a man in the middle, who looks at what goes up and keeps copies of what he holds back. */
#ifndef SIM_TAP_H
#define SIM_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "world.h"

enum deed { PASS, KEEP, DROP };

#define TAP_KEPT_MAX 1024

struct tap {
	struct world *w;
	enum deed (*judge)(struct tap *t, const uint8_t *data, size_t len);
	const struct client *only;  /* NULL: everyone's */
	const struct client *spare; /* whose datagrams pass unseen, NULL: nobody's */
	unsigned count;             /* for the judge */
	unsigned kept;
	struct {
		struct flow flow;
		size_t len;
		uint8_t data[2048];
	} packet[TAP_KEPT_MAX];
};

struct tap *tap_new(struct world *w, enum deed (*judge)(struct tap *t, const uint8_t *data, size_t len));
void tap_off(struct tap *t);
void tap_free(struct tap *t);
/* Past the tap, as if it came from the peer. */
void tap_inject(struct world *w, const struct flow *flow, const void *data, size_t len);
/* The kept packet number i goes on. */
void tap_release(struct tap *t, unsigned i);

/* What a datagram that a client made holds. */
size_t next_record(const uint8_t *data, size_t len, size_t at);
bool has_record(const uint8_t *data, size_t len, uint8_t type, uint16_t epoch);
bool is_hello(const uint8_t *data, size_t len);
bool has_cookie(const uint8_t *data, size_t len);
/* A judge: keeps what comes after the hellos, all of the client's second flight. */
enum deed keep_after_hello(struct tap *t, const uint8_t *data, size_t len);

#endif
