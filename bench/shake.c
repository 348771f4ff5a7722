/* SPDX-License-Identifier: BSD-2-Clause */
#include "shake.h"

#include <string.h>

#include <nettle/curve25519.h>
#include <nettle/hmac.h>

#include "util.h"

#define HANDSHAKE_HEADER 12

enum message {
	CLIENT_HELLO = 1,
	SERVER_HELLO = 2,
	HELLO_VERIFY_REQUEST = 3,
	NEW_SESSION_TICKET = 4,
	CERTIFICATE = 11,
	SERVER_KEY_EXCHANGE = 12,
	SERVER_HELLO_DONE = 14,
	CLIENT_KEY_EXCHANGE = 16,
	FINISHED = 20
};

enum { EXTENSION_EXTENDED_MASTER = 23, GROUP_X25519 = 29, SUITE = 0xc02b };

static const uint8_t suites[] = {
	0, 4, 0xc0, 0x2b, 0, 0xff, /* ECDHE-ECDSA-AES128-GCM-SHA256; secure renegotiation */
	1, 0,                      /* no compression */
};
static const uint8_t extensions[] = {
	0, 10, 0, 6, 0, 4, 0, 29, 0, 23, /* groups: X25519, P-256 for the certificate */
	0, 11, 0, 2, 1, 0,               /* uncompressed points */
	0, 13, 0, 4, 0, 2, 4, 3,         /* ECDSA with SHA-256 */
	0, 23, 0, 0,                     /* extended master secret */
	0, 35, 0, 0,                     /* session ticket: last, it may be left out */
};
#define TICKET_EXTENSION 4

static size_t extensions_len;
static uint8_t private_key[32], public_key[32];

void shake_setup(bool tickets)
{
	extensions_len = sizeof(extensions) - (tickets ? 0 : TICKET_EXTENSION);
	if (gnutls_rnd(GNUTLS_RND_KEY, private_key, sizeof(private_key)))
		die("no random bytes");
	curve25519_mul_g(public_key, private_key);
}

/* ---- RFC 5246 5: the pseudorandom function */

static void hmac(const uint8_t *secret, size_t secret_len, const uint8_t *a, size_t a_len, const uint8_t *b,
		 size_t b_len, uint8_t out[static SHA256_DIGEST_SIZE])
{
	struct hmac_sha256_ctx h;

	hmac_sha256_set_key(&h, secret_len, secret);
	hmac_sha256_update(&h, a_len, a);
	hmac_sha256_update(&h, b_len, b);
	hmac_sha256_digest(&h, SHA256_DIGEST_SIZE, out);
}

static void prf(const uint8_t *secret, size_t secret_len, const char *label, const uint8_t *seed,
		size_t seed_len, uint8_t *out, size_t out_len)
{
	uint8_t text[128], a[SHA256_DIGEST_SIZE], block[SHA256_DIGEST_SIZE];
	size_t label_len = strlen(label), len = label_len + seed_len;

	if (len > sizeof(text))
		die("a seed of %zu bytes", seed_len);
	memcpy(text, label, label_len);
	memcpy(text + label_len, seed, seed_len);
	hmac(secret, secret_len, text, len, NULL, 0, a);
	for (size_t at = 0; at < out_len; at += sizeof(block)) {
		size_t n = out_len - at < sizeof(block) ? out_len - at : sizeof(block);

		hmac(secret, secret_len, a, sizeof(a), text, len, block);
		memcpy(out + at, block, n);
		hmac(secret, secret_len, a, sizeof(a), NULL, 0, a);
	}
}

static void transcript_hash(const struct shake *s, uint8_t out[static SHA256_DIGEST_SIZE])
{
	struct sha256_ctx copy = s->transcript;

	sha256_digest(&copy, SHA256_DIGEST_SIZE, out);
}

/* ---- what the client says */

static uint8_t *record_begin(struct shake *s, uint8_t type, size_t body_len)
{
	uint8_t *p = s->flight + s->flight_len;

	if (s->flight_len + RECORD_HEADER + body_len > sizeof(s->flight))
		die("a client's flight is too long");
	p[0] = type;
	put16(p + 1, 0xfefd);
	put64(p + 3, s->record_seq++);
	put16(p + 11, (uint16_t)body_len);
	s->flight_len += RECORD_HEADER + body_len;
	return p + RECORD_HEADER;
}

static void message_header(uint8_t *p, uint8_t type, size_t len, uint16_t seq)
{
	put32(p, (uint32_t)type << 24 | (uint32_t)len);
	put16(p + 4, seq);
	memset(p + 6, 0, 3);
	p[9] = 0;
	put16(p + 10, (uint16_t)len);
}

static void hello(struct shake *s, const uint8_t *cookie, uint8_t cookie_len)
{
	size_t len = 2 + 32 + 1 + 1 + cookie_len + sizeof(suites) + 2 + extensions_len;
	uint8_t *message, *p;

	s->flight_len = 0;
	message = record_begin(s, CONTENT_HANDSHAKE, HANDSHAKE_HEADER + len);
	message_header(message, CLIENT_HELLO, len, s->send_seq++);
	p = message + HANDSHAKE_HEADER;
	put16(p, 0xfefd);
	memcpy(p + 2, s->random, 32);
	p[34] = 0;
	p[35] = cookie_len;
	p += 36;
	if (cookie_len)
		memcpy(p, cookie, cookie_len);
	p += cookie_len;
	memcpy(p, suites, sizeof(suites));
	p += sizeof(suites);
	put16(p, (uint16_t)extensions_len);
	memcpy(p + 2, extensions, extensions_len);
	/* RFC 6347 4.2.1: the transcript begins with the hello that has the cookie. */
	sha256_init(&s->transcript);
	sha256_update(&s->transcript, HANDSHAKE_HEADER + len, message);
}

void shake_begin(struct shake *s, struct secure *secure)
{
	memset(s, 0, sizeof(*s));
	s->secure = secure;
	if (gnutls_rnd(GNUTLS_RND_NONCE, s->random, sizeof(s->random)))
		die("no random bytes");
	hello(s, NULL, 0);
}

static void derive_keys(struct shake *s)
{
	uint8_t shared[32], seed[64], block[40];

	curve25519_mul(shared, private_key, s->server_key);
	if (s->extended_master) {
		transcript_hash(s, seed);
		prf(shared, 32, "extended master secret", seed, 32, s->master, sizeof(s->master));
	} else {
		memcpy(seed, s->random, 32);
		memcpy(seed + 32, s->server_random, 32);
		prf(shared, 32, "master secret", seed, 64, s->master, sizeof(s->master));
	}
	memcpy(seed, s->server_random, 32);
	memcpy(seed + 32, s->random, 32);
	prf(s->master, sizeof(s->master), "key expansion", seed, 64, block, sizeof(block));
	secure_init(s->secure, block, block + 16, block + 32, block + 36);
	s->keyed = true;
}

/* ClientKeyExchange, ChangeCipherSpec and Finished. */
static void last_flight(struct shake *s)
{
	uint8_t hash[SHA256_DIGEST_SIZE], finished[HANDSHAKE_HEADER + 12], *p;

	s->flight_len = 0;
	p = record_begin(s, CONTENT_HANDSHAKE, HANDSHAKE_HEADER + 33);
	message_header(p, CLIENT_KEY_EXCHANGE, 33, s->send_seq++);
	p[HANDSHAKE_HEADER] = 32;
	memcpy(p + HANDSHAKE_HEADER + 1, public_key, 32);
	sha256_update(&s->transcript, HANDSHAKE_HEADER + 33, p);
	derive_keys(s);
	*record_begin(s, CONTENT_CCS, 1) = 1;
	message_header(finished, FINISHED, 12, s->send_seq++);
	transcript_hash(s, hash);
	prf(s->master, sizeof(s->master), "client finished", hash, sizeof(hash),
	    finished + HANDSHAKE_HEADER, 12);
	sha256_update(&s->transcript, sizeof(finished), finished);
	secure_seal(s->secure, CONTENT_HANDSHAKE, finished, sizeof(finished), s->flight + s->flight_len);
	s->flight_len += sizeof(finished) + RECORD_OVERHEAD;
}

void shake_again(struct shake *s)
{
	for (size_t at = 0; at < s->flight_len; at += RECORD_HEADER + get16(s->flight + at + 11)) {
		if (get16(s->flight + at + 3) == 0)
			put64(s->flight + at + 3, s->record_seq++);
	}
}

/* ---- what the server says */

static void need(bool good, const char *what)
{
	if (!good)
		die("the server's %s is not what this client understands", what);
}

static void server_hello(struct shake *s, const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len;

	need(len >= 38 && get16(p) == 0xfefd && len >= 38u + p[34], "ServerHello");
	memcpy(s->server_random, p + 2, 32);
	p += 35 + p[34];
	need(get16(p) == SUITE, "suite");
	p += 3;
	for (p += 2; p + 4 <= end; p += 4 + get16(p + 2)) {
		if (get16(p) == EXTENSION_EXTENDED_MASTER)
			s->extended_master = true;
	}
}

static void server_key_exchange(struct shake *s, const uint8_t *p, size_t len)
{
	need(len > 36 && p[0] == 3 && get16(p + 1) == GROUP_X25519 && p[3] == 32, "ServerKeyExchange");
	memcpy(s->server_key, p + 4, 32);
}

static void server_finished(const struct shake *s, const uint8_t *p, size_t len)
{
	uint8_t hash[SHA256_DIGEST_SIZE], expected[12];

	transcript_hash(s, hash);
	prf(s->master, sizeof(s->master), "server finished", hash, sizeof(hash), expected, sizeof(expected));
	need(len == sizeof(expected) && memcmp(p, expected, len) == 0, "Finished");
}

/* One whole message; body without its header. */
static enum shake_verdict on_message(struct shake *s, uint8_t type, const uint8_t *body, size_t len)
{
	switch (type) {
	case HELLO_VERIFY_REQUEST:
		need(len >= 3 && len == 3u + body[2], "HelloVerifyRequest");
		hello(s, body + 3, body[2]);
		return SHAKE_SEND;
	case SERVER_HELLO:
		server_hello(s, body, len);
		return SHAKE_WAIT;
	case SERVER_KEY_EXCHANGE:
		server_key_exchange(s, body, len);
		return SHAKE_WAIT;
	case SERVER_HELLO_DONE:
		last_flight(s);
		return SHAKE_SEND;
	case CERTIFICATE:
	case NEW_SESSION_TICKET:
		return SHAKE_WAIT;
	case FINISHED:
		return SHAKE_DONE;
	default:
		die("the server sends handshake message %u", type);
	}
}

/* The messages in one record's plaintext. */
static enum shake_verdict on_messages(struct shake *s, const uint8_t *p, size_t len)
{
	enum shake_verdict v = SHAKE_WAIT;
	size_t body;

	for (; len >= HANDSHAKE_HEADER && v == SHAKE_WAIT; p += HANDSHAKE_HEADER + body,
							   len -= HANDSHAKE_HEADER + body) {
		body = get32(p) & 0xffffff;
		need((get32(p + 8) & 0xffffff) == body && body <= len - HANDSHAKE_HEADER, "fragment");
		if (get16(p + 4) != s->receive_seq)
			continue; /* a copy, or something before it was lost */
		s->receive_seq++;
		if (p[0] == FINISHED)
			server_finished(s, p + HANDSHAKE_HEADER, body);
		else if (p[0] != HELLO_VERIFY_REQUEST)
			sha256_update(&s->transcript, HANDSHAKE_HEADER + body, p);
		v = on_message(s, p[0], p + HANDSHAKE_HEADER, body);
	}
	return v;
}

static enum shake_verdict on_record(struct shake *s, const uint8_t *record, size_t len)
{
	uint8_t plain[2048];
	ssize_t n;

	if (record[0] == CONTENT_ALERT)
		return SHAKE_REFUSED;
	if (record[0] != CONTENT_HANDSHAKE)
		return SHAKE_WAIT;
	if (get16(record + 3) == 0)
		return on_messages(s, record + RECORD_HEADER, len - RECORD_HEADER);
	if (!s->keyed || len > sizeof(plain))
		return SHAKE_WAIT;
	n = secure_open(s->secure, record, len, plain);
	need(n >= 0, "Finished record");
	return on_messages(s, plain, (size_t)n);
}

enum shake_verdict shake_feed(struct shake *s, const uint8_t *data, size_t len)
{
	enum shake_verdict v = SHAKE_WAIT;
	size_t record;

	for (; len >= RECORD_HEADER && v == SHAKE_WAIT; data += record, len -= record) {
		record = RECORD_HEADER + (size_t)get16(data + 11);
		need(record <= len, "record");
		v = on_record(s, data, record);
	}
	return v;
}
