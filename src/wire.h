/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire: every constant of the DTLS 1.2 wire format that dtlsd uses, and big-endian access.
 * RFC 6347 (DTLS 1.2), RFC 5246 (TLS 1.2), RFC 9146 (connection ID).
 */
#ifndef DTLSD_WIRE_H
#define DTLSD_WIRE_H

#include <stdint.h>

#define DTLS_VERSION_1_0 0xfeff
#define DTLS_VERSION_1_2 0xfefd

#define DTLS_RECORD_HEADER 13    /* type 1, version 2, epoch 2, sequence 6, length 2 */
#define DTLS_HANDSHAKE_HEADER 12 /* type 1, length 3, message_seq 2, offset 3, fragment length 3 */
#define DTLS_PLAINTEXT_MAX 16384 /* RFC 5246 6.2.1: 2^14 */
#define DTLS_CIPHERTEXT_MAX (DTLS_PLAINTEXT_MAX + 2048) /* RFC 5246 6.2.3 */
#define DTLS_SEQ_MAX ((UINT64_C(1) << 48) - 1)
#define DTLS_RANDOM_SIZE 32
#define DTLS_HELLO_VERIFY_SIZE 44 /* GnuTLS's, with its 16-byte cookie */

enum dtls_content_type {
	DTLS_CHANGE_CIPHER_SPEC = 20,
	DTLS_ALERT = 21,
	DTLS_HANDSHAKE = 22,
	DTLS_APPLICATION_DATA = 23,
	DTLS_TLS12_CID = 25
};

enum dtls_handshake_type {
	DTLS_HELLO_REQUEST = 0,
	DTLS_CLIENT_HELLO = 1,
	DTLS_SERVER_HELLO = 2,
	DTLS_HELLO_VERIFY_REQUEST = 3,
	DTLS_NEW_SESSION_TICKET = 4,
	DTLS_CERTIFICATE = 11,
	DTLS_SERVER_KEY_EXCHANGE = 12,
	DTLS_CERTIFICATE_REQUEST = 13,
	DTLS_SERVER_HELLO_DONE = 14,
	DTLS_CERTIFICATE_VERIFY = 15,
	DTLS_CLIENT_KEY_EXCHANGE = 16,
	DTLS_FINISHED = 20,
	DTLS_CERTIFICATE_STATUS = 22
};

enum dtls_alert_level { DTLS_ALERT_WARNING = 1, DTLS_ALERT_FATAL = 2 };

enum dtls_alert_description {
	DTLS_ALERT_CLOSE_NOTIFY = 0,
	DTLS_ALERT_ACCESS_DENIED = 49,
	DTLS_ALERT_DECRYPT_ERROR = 51,
	DTLS_ALERT_NO_RENEGOTIATION = 100
};

static inline uint16_t wire_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t wire_get24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}
static inline uint64_t wire_get48(const uint8_t *p)
{
	return (uint64_t)wire_get24(p) << 24 | wire_get24(p + 3);
}
static inline uint64_t wire_get64(const uint8_t *p)
{
	return (uint64_t)wire_get16(p) << 48 | wire_get48(p + 2);
}
static inline void wire_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void wire_put24(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 16);
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)v;
}
static inline void wire_put48(uint8_t *p, uint64_t v)
{
	wire_put24(p, (uint32_t)(v >> 24));
	wire_put24(p + 3, (uint32_t)v & 0xffffff);
}
static inline void wire_put64(uint8_t *p, uint64_t v)
{
	wire_put16(p, (uint16_t)(v >> 48));
	wire_put48(p + 2, v & DTLS_SEQ_MAX);
}

#endif
