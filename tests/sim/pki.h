/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pki: certificates made at the start of a test, so that none with a date lies in the tree.
 */
#ifndef SIM_PKI_H
#define SIM_PKI_H

#include <stddef.h>

#include <gnutls/x509.h>

struct pki_pair {
	gnutls_x509_crt_t cert;
	gnutls_x509_privkey_t key;
};

struct pki_pair pki_ca(const char *name);
/* dns may be NULL */
struct pki_pair pki_issue(const struct pki_pair *ca, const char *name, gnutls_pk_algorithm_t pk, const char *dns);
/* RSA of any size; ca NULL: a CA of itself. */
struct pki_pair pki_issue_rsa(const struct pki_pair *ca, const char *name, unsigned bits);
/* A client's, with an extension of so many bytes that nobody reads. */
struct pki_pair pki_issue_bulky(const struct pki_pair *ca, const char *name, size_t bytes);
void pki_write_cert(const struct pki_pair *p, const struct pki_pair *and_this, const char *path);
void pki_write_key(const struct pki_pair *p, const char *path);
void pki_free(struct pki_pair *p);

#endif
