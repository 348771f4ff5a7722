/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * classify: the only parser of untrusted record and handshake headers. Pure and total: every byte
 * string has a verdict, no byte beyond len is read.
 *
 * A datagram may hold several records, of different epochs (a client's last flight often does), so
 * the verdict is per record (RFC 6347 4.1).
 */
#ifndef DTLSD_CLASSIFY_H
#define DTLSD_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_kind {
	RECORD_END,         /* nothing left */
	RECORD_MALFORMED,   /* not DTLS, truncated, lying length: the rest of the datagram is void */
	RECORD_TOO_LARGE,   /* complete, but longer than RFC 5246 allows; skip it */
	RECORD_UNKNOWN,     /* complete, of a content type that nobody knows; skip it */
	RECORD_HELLO,       /* epoch 0, a ClientHello or its first fragment */
	RECORD_HELLO_TAIL,  /* epoch 0, a ClientHello fragment with offset > 0 */
	RECORD_HANDSHAKE,   /* epoch 0, any other handshake message or fragment(s) */
	RECORD_CCS,         /* epoch 0 ChangeCipherSpec */
	RECORD_ALERT,       /* epoch 0 alert of exactly 2 bytes */
	RECORD_PLAIN_DATA,  /* epoch 0 application data: never legal */
	RECORD_PROTECTED,   /* epoch >= 1, content type 20..23 */
	RECORD_CID          /* content type 25 (RFC 9146), epoch >= 1; takes the rest of the datagram */
};

/*
 * Pointers into the datagram. END and MALFORMED leave zeros in what could not be read. How long a
 * connection ID is only its owner knows, so where a CID record's length lies is not known here.
 */
struct record {
	enum record_kind kind;
	uint8_t type;      /* content type */
	uint16_t version;  /* as on the wire; 0xfeff or 0xfefd, else MALFORMED */
	uint16_t epoch;
	uint64_t seq;      /* 48 bits */
	uint8_t *header;   /* DTLS_RECORD_HEADER bytes */
	uint8_t *body;     /* what the header's length covers; of a CID record all from the ID on */
	size_t length;     /* of body; 0 is legal for PROTECTED by the header, the AEAD refuses it */
};

/*
 * Takes the next record off data[*offset .. len) and moves *offset past it. A record whose body is
 * malformed at the next layer (a handshake record shorter than its header, a fragment that reaches
 * past its message's length, an alert of a length other than 2, a CCS other than one byte 1, an empty
 * body in epoch 0) is MALFORMED too, but *offset moves past it, so that good records after it still
 * count; only a bad record header or length voids the rest (*offset = len). TOO_LARGE is a body over
 * 2^14 in epoch 0, over 2^14 + 2048 later.
 */
enum record_kind classify_record(uint8_t *data, size_t len, size_t *offset, struct record *out);

/* One handshake fragment inside a handshake record's body. */
struct handshake_fragment {
	uint8_t type;
	uint32_t length;      /* of the whole message, without the 12-byte header */
	uint16_t message_seq;
	uint32_t offset;
	uint32_t fragment_length;
	const uint8_t *body;  /* fragment_length bytes */
};

/*
 * A record may hold several handshake messages one after another. Takes the next off
 * body[*at .. length): 1 and *at moves, 0 at the end, -EBADMSG when what is there is malformed.
 */
int classify_handshake(const uint8_t *body, size_t length, size_t *at, struct handshake_fragment *out);

/* What the cookie gate needs of a RECORD_HELLO. */
struct hello {
	uint64_t record_seq;
	uint16_t message_seq;
	const uint8_t *random; /* 32 bytes */
	const uint8_t *cookie;
	uint8_t cookie_length; /* 0: no cookie */
	const uint8_t *msg;    /* the record with its header, for gnutls_dtls_cookie_verify */
	size_t msg_length;
};

/*
 * Reads client_version, random, session_id and cookie (RFC 6347 4.2.1). false when the fragment ends
 * before the byte after the cookie, when the session ID is longer than 32, or when the client_version
 * is not a DTLS version at all (major byte other than 0xfe): such a hello gets no answer.
 * A true result is at least 61 bytes long on the wire and thus longer than a HelloVerifyRequest.
 */
bool classify_hello(const struct record *r, struct hello *out);

#endif
