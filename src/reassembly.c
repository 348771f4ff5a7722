/* SPDX-License-Identifier: BSD-2-Clause */
#include "reassembly.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

/*
 * A message is a list of pieces, sorted, with a gap between any two: pieces that touch are merged at
 * once. A message is complete when one piece covers it all. Each piece has room for the handshake
 * header before its first byte, so a complete message is handed out where it lies.
 */
struct piece {
	struct piece *next;
	uint32_t start;
	uint32_t end;
	uint32_t size; /* of this allocation: what is counted against the bounds */
	uint8_t data[];
};

#define PIECE_GRAIN 64u

struct message {
	struct piece *pieces; /* NULL: nothing came yet, type and length mean nothing */
	uint32_t length;
	uint32_t count; /* of pieces */
	uint8_t type;
};

struct reassembly {
	uint32_t expected; /* wider than a sequence: they do not wrap, after the last comes none */
	size_t bytes;
	struct message messages[REASSEMBLY_MESSAGES]; /* by sequence modulo their number */
};

struct reassembly *reassembly_new(uint16_t first)
{
	struct reassembly *r = calloc(1, sizeof(*r));

	if (r)
		r->expected = first;
	return r;
}

static struct message *reassembly_slot(struct reassembly *r, uint32_t seq)
{
	return &r->messages[seq % REASSEMBLY_MESSAGES];
}

static void reassembly_drop_piece(struct reassembly *r, struct message *m, struct piece **at)
{
	struct piece *p = *at;

	*at = p->next;
	m->count--;
	r->bytes -= p->size;
	free(p);
}

void reassembly_free(struct reassembly *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < REASSEMBLY_MESSAGES; i++) {
		while (r->messages[i].pieces)
			reassembly_drop_piece(r, &r->messages[i], &r->messages[i].pieces);
	}
	assert(r->bytes == 0);
	free(r);
}

static uint32_t piece_size(uint32_t length)
{
	uint32_t size = (uint32_t)sizeof(struct piece) + DTLS_HANDSHAKE_HEADER + length;

	return (size + PIECE_GRAIN - 1) / PIECE_GRAIN * PIECE_GRAIN;
}

static uint8_t *piece_at(struct piece *p, uint32_t offset)
{
	return p->data + DTLS_HANDSHAKE_HEADER + (offset - p->start);
}

/* Copies the bytes start..end of the message, which f has, to where p has room for them. */
static void piece_fill(struct piece *p, const struct handshake_fragment *f, uint32_t start, uint32_t end)
{
	if (start < end)
		memcpy(piece_at(p, start), f->body + (start - f->offset), end - start);
}

/* f touches no piece: it becomes one of its own, before *at. */
static enum reassembly_verdict reassembly_insert(struct reassembly *r, struct message *m, struct piece **at,
						 const struct handshake_fragment *f)
{
	uint32_t size = piece_size(f->fragment_length);
	struct piece *p;

	if (m->count == REASSEMBLY_GAPS_MAX || r->bytes + size > REASSEMBLY_TOTAL_MAX)
		return REASSEMBLY_TOO_LARGE;
	p = malloc(size);
	if (!p)
		return REASSEMBLY_MEMORY;
	p->next = *at;
	p->start = f->offset;
	p->end = f->offset + f->fragment_length;
	p->size = size;
	piece_fill(p, f, p->start, p->end);
	*at = p;
	m->count++;
	m->type = f->type;
	m->length = f->length;
	r->bytes += size;
	return REASSEMBLY_STORED;
}

/* f touches or overlaps *at and perhaps pieces after it: all of them become one, in place of *at. */
static enum reassembly_verdict reassembly_merge(struct reassembly *r, struct message *m, struct piece **at,
						const struct handshake_fragment *f)
{
	const uint32_t f_end = f->offset + f->fragment_length;
	struct piece *p = *at;
	uint32_t start = f->offset < p->start ? f->offset : p->start;
	uint32_t end = f_end > p->end ? f_end : p->end;
	uint32_t old_start = p->start;
	uint32_t filled = p->end; /* all from old_start to here is in place */
	size_t freed = p->size;
	uint32_t size;

	for (struct piece *q = p->next; q && q->start <= f_end; q = q->next) {
		end = q->end > end ? q->end : end;
		freed += q->size;
	}
	size = piece_size(end - start);
	if (r->bytes - freed + size > REASSEMBLY_TOTAL_MAX)
		return REASSEMBLY_TOO_LARGE;
	if (size != p->size) {
		p = realloc(p, size);
		if (!p)
			return REASSEMBLY_MEMORY;
		r->bytes += size;
		r->bytes -= p->size;
		p->size = size;
		*at = p;
	}

	p->start = start;
	if (start < old_start)
		memmove(piece_at(p, old_start), piece_at(p, start), filled - old_start);
	piece_fill(p, f, start, old_start);
	while (p->next && p->next->start <= f_end) {
		struct piece *q = p->next;

		piece_fill(p, f, filled, q->start);
		memcpy(piece_at(p, q->start), piece_at(q, q->start), q->end - q->start);
		filled = q->end;
		reassembly_drop_piece(r, m, &p->next);
	}
	piece_fill(p, f, filled, f_end);
	p->end = end;
	return REASSEMBLY_STORED;
}

enum reassembly_verdict reassembly_add(struct reassembly *r, const struct handshake_fragment *f)
{
	const uint32_t f_end = f->offset + f->fragment_length;
	struct message *m;
	struct piece **at;

	assert(f_end >= f->offset && f_end <= f->length);
	if (f->message_seq < r->expected)
		return REASSEMBLY_DUPLICATE;
	if (f->message_seq - r->expected >= REASSEMBLY_MESSAGES)
		return REASSEMBLY_TOO_FAR;
	if (f->length > REASSEMBLY_MESSAGE_MAX)
		return REASSEMBLY_TOO_LARGE;
	m = reassembly_slot(r, f->message_seq);
	if (m->pieces && (m->type != f->type || m->length != f->length))
		return REASSEMBLY_MISMATCH;
	/* No bytes say nothing, unless the message is meant to be empty. */
	if (f->fragment_length == 0 && f->length > 0)
		return REASSEMBLY_DUPLICATE;

	at = &m->pieces;
	while (*at && (*at)->end < f->offset)
		at = &(*at)->next;
	if (!*at || (*at)->start > f_end)
		return reassembly_insert(r, m, at, f);
	if ((*at)->start <= f->offset && (*at)->end >= f_end)
		return REASSEMBLY_DUPLICATE;
	return reassembly_merge(r, m, at, f);
}

const uint8_t *reassembly_next(struct reassembly *r, size_t *len)
{
	struct message *m = reassembly_slot(r, r->expected);
	uint8_t *header;

	if (!m->pieces || m->pieces->start != 0 || m->pieces->end != m->length)
		return NULL;
	header = m->pieces->data;
	header[0] = m->type;
	wire_put24(header + 1, m->length);
	wire_put16(header + 4, (uint16_t)r->expected);
	wire_put24(header + 6, 0);
	wire_put24(header + 9, m->length);
	*len = DTLS_HANDSHAKE_HEADER + (size_t)m->length;
	return header;
}

void reassembly_pop(struct reassembly *r)
{
	struct message *m = reassembly_slot(r, r->expected);

	while (m->pieces)
		reassembly_drop_piece(r, m, &m->pieces);
	r->expected++;
}

uint16_t reassembly_expected(const struct reassembly *r)
{
	return (uint16_t)r->expected;
}

size_t reassembly_bytes(const struct reassembly *r)
{
	return r->bytes;
}
