/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mbedtls_key: what differs between mbedTLS 2.28 (Debian 12) and 3 (Debian 13) for a program that reads a private
 * key and wants DTLS 1.2.
 */
#ifndef DTLSD_MBEDTLS_KEY_H
#define DTLSD_MBEDTLS_KEY_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
static inline int key_parse_file(mbedtls_pk_context *key, const char *path, mbedtls_ctr_drbg_context *random)
{
	return mbedtls_pk_parse_keyfile(key, path, NULL, mbedtls_ctr_drbg_random, random);
}
#else
static inline int key_parse_file(mbedtls_pk_context *key, const char *path, mbedtls_ctr_drbg_context *random)
{
	(void)random;
	return mbedtls_pk_parse_keyfile(key, path, NULL);
}
#endif

/* mbedtls_ssl_conf_min_version: 3.3 is 1.2, by names that mbedTLS 3 no longer has */
#define VERSION_MAJOR 3
#define VERSION_MINOR 3

#endif
