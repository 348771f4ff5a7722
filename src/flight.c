/* SPDX-License-Identifier: BSD-2-Clause */
#include "flight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

#define DATAGRAM_MAX 65535
#define FRAGMENT_OVERHEAD (DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER)

/* The records as GnuTLS wrote them, one after another; they are cut and numbered when they leave. */
struct flight {
	uint8_t *data;
	size_t size;
	size_t used;
	size_t sent; /* where the first record lies that has not been sent */
	uint64_t next_seq;
	bool has_ccs;
};

/* One datagram in the making. */
struct packer {
	struct flight *flight;
	int (*out)(void *ctx, const uint8_t *data, size_t len);
	void *ctx;
	size_t mtu;
	bool whole; /* a message that fits in a datagram is not cut */
	size_t len;
	uint8_t data[DATAGRAM_MAX];
};

struct flight *flight_new(uint64_t first_seq)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (f)
		f->next_seq = first_seq & DTLS_SEQ_MAX;
	return f;
}

void flight_free(struct flight *f)
{
	if (!f)
		return;
	free(f->data);
	free(f);
}

void flight_begin(struct flight *f)
{
	f->used = f->sent = 0;
	f->has_ccs = false;
}

static int flight_grow(struct flight *f, size_t need)
{
	size_t size = f->size ? f->size : 1024;
	uint8_t *data;

	while (size < need)
		size *= 2;
	if (size == f->size)
		return 0;
	data = realloc(f->data, size);
	if (!data)
		return -ENOMEM;
	f->data = data;
	f->size = size;
	return 0;
}

size_t flight_packed_size(const struct flight *f)
{
	return sizeof(*f) + f->used;
}

struct flight *flight_pack(struct flight *f, void *room)
{
	struct flight *packed = room;

	*packed = *f;
	packed->data = (uint8_t *)(packed + 1);
	packed->size = f->used;
	memcpy(packed->data, f->data, f->used);
	flight_free(f);
	return packed;
}

int flight_push(struct flight *f, const uint8_t *data, size_t len)
{
	bool has_ccs = f->has_ccs;
	size_t at = f->used;
	struct record r;

	if (len > FLIGHT_BYTES_MAX - f->used)
		return -EMSGSIZE;
	if (len == 0)
		return -EBADMSG;
	if (flight_grow(f, f->used + len) < 0)
		return -ENOMEM;
	memcpy(f->data + f->used, data, len);
	for (;;) {
		switch (classify_record(f->data, f->used + len, &at, &r)) {
		case RECORD_END:
			f->used += len;
			f->has_ccs = has_ccs;
			return 0;
		case RECORD_CCS:
			has_ccs = true;
			continue;
		case RECORD_HELLO: /* a client's */
		case RECORD_HANDSHAKE:
		case RECORD_ALERT:
		case RECORD_PROTECTED:
			continue;
		default:
			return -EBADMSG;
		}
	}
}

bool flight_empty(const struct flight *f)
{
	return f->used == 0;
}

bool flight_has_ccs(const struct flight *f)
{
	return f->has_ccs;
}

static int packer_flush(struct packer *p)
{
	size_t len = p->len;

	p->len = 0;
	return len == 0 ? 0 : p->out(p->ctx, p->data, len);
}

/* Where len more bytes go, the datagram before having left if they do not fit. len <= mtu. */
static int packer_reserve(struct packer *p, size_t len, uint8_t **at)
{
	int rc = 0;

	if (len > p->mtu - p->len)
		rc = packer_flush(p);
	*at = p->data + p->len;
	return rc;
}

/* The header of an epoch-0 record: all is as GnuTLS wrote it but number and length. */
static void packer_header(struct packer *p, uint8_t *at, const struct record *r, size_t length)
{
	at[0] = r->type;
	wire_put16(at + 1, r->version);
	wire_put16(at + 3, 0);
	wire_put48(at + 5, p->flight->next_seq);
	wire_put16(at + 11, (uint16_t)length);
	p->flight->next_seq = (p->flight->next_seq + 1) & DTLS_SEQ_MAX;
}

/* One record for each piece: as much of the message as there is room for in the datagram. */
static int packer_add_fragment(struct packer *p, const struct record *r, const struct handshake_fragment *f)
{
	bool whole = p->whole && FRAGMENT_OVERHEAD + f->fragment_length <= p->mtu;
	uint32_t done = 0;
	uint8_t *at;

	do {
		uint32_t left = f->fragment_length - done;
		int rc = packer_reserve(p, FRAGMENT_OVERHEAD + (whole ? left : left > 0), &at);
		size_t room = p->mtu - p->len - FRAGMENT_OVERHEAD;
		uint32_t n = left < room ? left : (uint32_t)room;

		if (rc)
			return rc;
		packer_header(p, at, r, DTLS_HANDSHAKE_HEADER + n);
		at += DTLS_RECORD_HEADER;
		at[0] = f->type;
		wire_put24(at + 1, f->length);
		wire_put16(at + 4, f->message_seq);
		wire_put24(at + 6, f->offset + done);
		wire_put24(at + 9, n);
		memcpy(at + DTLS_HANDSHAKE_HEADER, f->body + done, n);
		p->len += FRAGMENT_OVERHEAD + n;
		done += n;
	} while (done < f->fragment_length);
	return 0;
}

static int packer_add_handshake(struct packer *p, const struct record *r)
{
	struct handshake_fragment f;
	size_t at = 0;
	int rc = 0;

	while (rc == 0 && classify_handshake(r->body, r->length, &at, &f) == 1)
		rc = packer_add_fragment(p, r, &f);
	return rc;
}

static int packer_add_plain(struct packer *p, const struct record *r)
{
	uint8_t *at;
	int rc = packer_reserve(p, DTLS_RECORD_HEADER + r->length, &at);

	if (rc)
		return rc;
	packer_header(p, at, r, r->length);
	memcpy(at + DTLS_RECORD_HEADER, r->body, r->length);
	p->len += DTLS_RECORD_HEADER + r->length;
	return 0;
}

static int packer_add_protected(struct packer *p, const struct record *r)
{
	size_t len = DTLS_RECORD_HEADER + r->length;
	uint8_t *at;
	int rc;

	if (len > p->mtu) {
		rc = packer_flush(p);
		return rc ? rc : p->out(p->ctx, r->header, len);
	}
	rc = packer_reserve(p, len, &at);
	if (rc)
		return rc;
	memcpy(at, r->header, len);
	p->len += len;
	return 0;
}

static int pack(struct flight *f, size_t mtu, bool whole,
		int (*out)(void *ctx, const uint8_t *data, size_t len), void *ctx)
{
	struct packer p;
	struct record r;
	int rc = 0;

	/* Not all at once: there is no need to clear a datagram's worth of stack. */
	p.flight = f;
	p.out = out;
	p.ctx = ctx;
	p.mtu = mtu;
	p.whole = whole;
	p.len = 0;
	while (rc == 0 && f->sent < f->used) {
		switch (classify_record(f->data, f->used, &f->sent, &r)) {
		case RECORD_HELLO:
		case RECORD_HANDSHAKE:
			rc = packer_add_handshake(&p, &r);
			break;
		case RECORD_PROTECTED:
			rc = packer_add_protected(&p, &r);
			break;
		default:
			rc = packer_add_plain(&p, &r);
		}
	}
	if (rc == 0)
		rc = packer_flush(&p);
	f->sent = f->used;
	return rc;
}

static int count(void *ctx, const uint8_t *data, size_t len)
{
	unsigned *n = ctx;

	(void)data;
	(void)len;
	++*n;
	return 0;
}

static unsigned datagrams(struct flight *f, size_t mtu, bool whole)
{
	uint64_t seq = f->next_seq;
	size_t sent = f->sent;
	unsigned n = 0;

	pack(f, mtu, whole, count, &n);
	f->next_seq = seq;
	f->sent = sent;
	return n;
}

int flight_send(struct flight *f, size_t mtu,
		int (*out)(void *ctx, const uint8_t *data, size_t len), void *ctx)
{
	bool whole;

	mtu = mtu < FLIGHT_MTU_MIN ? FLIGHT_MTU_MIN : mtu > DATAGRAM_MAX ? DATAGRAM_MAX : mtu;
	/* each datagram more is one more to lose; what fits in one is not even looked at */
	whole = f->used - f->sent > mtu && datagrams(f, mtu, true) <= datagrams(f, mtu, false);
	return pack(f, mtu, whole, out, ctx);
}

void flight_rewind(struct flight *f)
{
	f->sent = 0;
}

void flight_each(struct flight *f, void (*each)(void *ctx, struct record *r), void *ctx)
{
	struct record r;
	size_t at = 0;

	while (classify_record(f->data, f->used, &at, &r) != RECORD_END)
		each(ctx, &r);
}

uint64_t flight_next_seq(const struct flight *f)
{
	return f->next_seq;
}
