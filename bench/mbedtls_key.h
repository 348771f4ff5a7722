/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mbedtls_key: what differs between mbedTLS 2.28 (Debian 12) and 3 (Debian 13) for a program that reads a private
 * key and wants DTLS 1.2, and to know how far a handshake is and what its master secret was.
 */
#ifndef DTLSD_MBEDTLS_KEY_H
#define DTLSD_MBEDTLS_KEY_H

#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>

#if MBEDTLS_VERSION_NUMBER >= 0x03000000

static inline int key_parse_file(mbedtls_pk_context *key, const char *path, mbedtls_ctr_drbg_context *random)
{
	return mbedtls_pk_parse_keyfile(key, path, NULL, mbedtls_ctr_drbg_random, random);
}

static inline void want_dtls12(mbedtls_ssl_config *c)
{
	mbedtls_ssl_conf_min_tls_version(c, MBEDTLS_SSL_VERSION_TLS1_2);
}

#else

static inline int key_parse_file(mbedtls_pk_context *key, const char *path, mbedtls_ctr_drbg_context *random)
{
	(void)random;
	return mbedtls_pk_parse_keyfile(key, path, NULL);
}

static inline void want_dtls12(mbedtls_ssl_config *c)
{
	mbedtls_ssl_conf_min_version(c, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
}

#endif

#endif
