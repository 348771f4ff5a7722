/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flight: whatever was pushed leaves whole and in order, in datagrams that the MTU allows, under record
 * numbers that are never used twice, as often as it is sent.
 * The input is a program: push these records, send, rewind, change the MTU, begin anew.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "flight.h"
#include "fuzz.h"
#include "wire.h"

/* What a flight says, without how it is cut: fragments that follow one another are one. */
struct said {
	uint8_t *data;
	size_t used, size;
	/* the handshake message in the making */
	struct handshake_fragment last;
	uint32_t end;
	bool open;
};

static void said_add(struct said *s, const void *data, size_t len)
{
	if (s->used + len > s->size) {
		s->size = 2 * (s->used + len);
		s->data = realloc(s->data, s->size);
		assert(s->data);
	}
	if (len)
		memcpy(s->data + s->used, data, len);
	s->used += len;
}

static void said_fragment(struct said *s, const struct record *r, const struct handshake_fragment *f)
{
	if (!s->open || s->last.type != f->type || s->last.length != f->length ||
	    s->last.message_seq != f->message_seq || s->end != f->offset) {
		uint8_t head[9] = { 'm', f->type };

		wire_put16(head + 2, r->version);
		wire_put16(head + 4, f->message_seq);
		wire_put24(head + 6, f->length);
		said_add(s, head, sizeof(head));
		wire_put24(head + 6, f->offset);
		said_add(s, head + 6, 3);
	}
	said_add(s, f->body, f->fragment_length);
	s->last = *f;
	s->end = f->offset + f->fragment_length;
	s->open = true;
}

static void said_record(struct said *s, const struct record *r)
{
	struct handshake_fragment f;
	size_t at = 0;

	if (r->type == DTLS_HANDSHAKE && r->epoch == 0) {
		while (classify_handshake(r->body, r->length, &at, &f) == 1)
			said_fragment(s, r, &f);
		return;
	}
	s->open = false;
	said_add(s, r->header, r->epoch ? DTLS_RECORD_HEADER : 3);
	said_add(s, r->body, r->length);
}

/* As it was, of itself or of another that has the same bytes; the memory stays its own. */
static void said_restore(struct said *s, const struct said *from)
{
	s->used = from->used;
	s->last = from->last;
	s->end = from->end;
	s->open = from->open;
}

static void said_clear(struct said *s)
{
	s->used = 0;
	s->open = false;
}

/* Everything in data; false when a flight does not take it. */
static bool said_all(struct said *s, uint8_t *data, size_t len)
{
	size_t at = 0;
	struct record r;

	for (;;) {
		switch (classify_record(data, len, &at, &r)) {
		case RECORD_END:
			return true;
		case RECORD_HANDSHAKE:
		case RECORD_CCS:
		case RECORD_ALERT:
		case RECORD_PROTECTED:
			said_record(s, &r);
			continue;
		default:
			return false;
		}
	}
}

struct run {
	struct flight *flight;
	struct said pushed, unsent, got;
	uint64_t next_seq;
	size_t mtu, pushed_bytes;
	unsigned fail_at; /* the datagram that cannot leave, 0: none */
};

static int on_datagram(void *ctx, const uint8_t *data, size_t len)
{
	struct run *run = ctx;
	uint8_t *copy = fuzz_copy(data, len);
	size_t at = 0, mtu = run->mtu < FLIGHT_MTU_MIN ? FLIGHT_MTU_MIN : run->mtu;
	unsigned records = 0;
	struct record r;

	assert(len > 0);
	while (classify_record(copy, len, &at, &r) != RECORD_END) {
		records++;
		/* a ClientHello that stood second in its record, where it was not looked for, may be first now */
		assert(r.kind == RECORD_HANDSHAKE || r.kind == RECORD_CCS || r.kind == RECORD_ALERT ||
		       r.kind == RECORD_PROTECTED || r.kind == RECORD_HELLO || r.kind == RECORD_HELLO_TAIL);
		if (r.epoch == 0) {
			assert(r.seq == run->next_seq);
			run->next_seq = (run->next_seq + 1) & DTLS_SEQ_MAX;
		}
		said_record(&run->got, &r);
	}
	assert(len <= mtu || (records == 1 && r.epoch == 0 && copy[3] + copy[4] != 0));
	free(copy);
	return run->fail_at && --run->fail_at == 0 ? -ENOBUFS : 0;
}

static void push(struct run *run, struct fuzz_input *in)
{
	size_t len = fuzz_u16(in);
	struct said pushed = run->pushed, unsent = run->unsent;
	const uint8_t *data = fuzz_bytes(in, &len);
	uint8_t *copy = fuzz_copy(data, len);
	bool good;
	int rc;

	good = len > 0 && said_all(&run->pushed, copy, len);
	if (good)
		assert(said_all(&run->unsent, copy, len));
	rc = flight_push(run->flight, copy, len);
	if (len > FLIGHT_BYTES_MAX - run->pushed_bytes) {
		assert(rc == -EMSGSIZE);
	} else {
		assert(rc == (good ? 0 : -EBADMSG));
	}
	free(copy);
	if (rc == 0) {
		run->pushed_bytes += len;
		return;
	}
	said_restore(&run->pushed, &pushed);
	said_restore(&run->unsent, &unsent);
}

static void send(struct run *run, bool fails)
{
	int rc;

	said_clear(&run->got);
	run->fail_at = fails ? 2 : 0;
	run->next_seq = flight_next_seq(run->flight);
	rc = flight_send(run->flight, run->mtu, on_datagram, run);
	if (rc == 0) {
		assert(run->next_seq == flight_next_seq(run->flight));
		assert(run->got.used == run->unsent.used);
		assert(run->got.used == 0 || memcmp(run->got.data, run->unsent.data, run->got.used) == 0);
	} else {
		assert(rc == -ENOBUFS && fails);
		assert(run->got.used <= run->unsent.used);
	}
	said_clear(&run->unsent);
}

static void rewind_all(struct run *run)
{
	flight_rewind(run->flight);
	said_clear(&run->unsent);
	said_add(&run->unsent, run->pushed.data, run->pushed.used);
	said_restore(&run->unsent, &run->pushed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct run run = { .mtu = 1200 };
	uint16_t first = fuzz_u16(&in);

	run.flight = flight_new(first & 0x8000 ? DTLS_SEQ_MAX - (first & 0xff) : first);
	assert(run.flight);
	while (in.left > 0) {
		uint8_t op = fuzz_u8(&in);

		switch (op % 8) {
		case 4:
			run.mtu = fuzz_u16(&in);
			break;
		case 5:
			rewind_all(&run);
			break;
		case 6:
			send(&run, op & 8);
			break;
		case 7:
			flight_begin(run.flight);
			said_clear(&run.pushed);
			said_clear(&run.unsent);
			run.pushed_bytes = 0;
			break;
		default:
			push(&run, &in);
		}
		assert(flight_empty(run.flight) == (run.pushed_bytes == 0));
	}
	rewind_all(&run);
	send(&run, false);
	flight_free(run.flight);
	free(run.pushed.data);
	free(run.unsent.data);
	free(run.got.data);
	return 0;
}
