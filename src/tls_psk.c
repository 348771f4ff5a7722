/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_psk.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "wire.h"

static int load_file(struct tls_psk *p, struct tls_trust *t, const struct tls_psk_options *o)
{
	const char *path = o->file;
	int rc = tls_trust_psks(t, path, &p->table);

	if (rc < 0 || psk_count(p->table) > 0)
		return rc;
	if (o->alone)
		return tls_fail(t->e, "%s: there is no identity in it, so nobody could come in; add one with: "
				"psktool -u NAME -p %s", path, path);
	log_warning("%s: there is no identity in it; add one with: psktool -u NAME -p %s", path, path);
	return 0;
}

static int load_socket(struct tls_psk *p, struct tls_trust *t, const struct tls_psk_options *o)
{
	const char *path = o->socket;
	struct stat st;

	if (strlen(path) > UNIX_NAME_MOST)
		return tls_fail(t->e, "%spsk-socket %s: the path has more than the %d bytes that a unix socket may have; "
				"take a shorter one", o->dashes, path, UNIX_NAME_MOST);
	if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return tls_fail(t->e, "%spsk-socket %s: this is no unix socket; name the one of the program that knows "
				"the keys", o->dashes, path);
	if (stat(path, &st) < 0)
		log_warning("%spsk-socket %s: %s: no program is there yet; start the one that knows the keys", o->dashes,
			    path, strerror(errno));
	else if (access(path, W_OK) < 0)
		log_warning("%spsk-socket %s: %s; let dtlsd's user write to it", o->dashes, path, strerror(errno));
	psk_source_init(&p->source, path, o->cache_s * UINT32_C(1000));
	return tls_trust_add(t, "psk-socket", path, strlen(path));
}

int tls_psk_load(struct tls_psk *p, struct tls_trust *t, const struct tls_psk_options *o)
{
	int rc = 0;

	if (o->file != NULL)
		rc = load_file(p, t, o);
	if (rc == 0 && o->socket != NULL)
		rc = load_socket(p, t, o);
	return rc;
}

static bool takes_psk(gnutls_kx_algorithm_t kx)
{
	return kx == GNUTLS_KX_PSK || kx == GNUTLS_KX_ECDHE_PSK || kx == GNUTLS_KX_DHE_PSK || kx == GNUTLS_KX_RSA_PSK;
}

void tls_psk_serve(struct tls_psk *p, gnutls_priority_t priority)
{
	unsigned index;

	for (unsigned i = 0; p->suite_count < TLS_PSK_SUITES; i++) {
		int rc = gnutls_priority_get_cipher_suite_index(priority, i, &index);
		gnutls_kx_algorithm_t kx;
		unsigned char id[2];

		if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return;
		if (rc >= 0 && gnutls_cipher_suite_info(index, id, &kx, NULL, NULL, NULL) != NULL && takes_psk(kx))
			p->suites[p->suite_count++] = wire_get16(id);
	}
}

void tls_psk_clear(struct tls_psk *p)
{
	psk_free(p->table);
	p->table = NULL;
}

bool tls_psk_may_ask(const struct tls_psk *p, const struct tls_offer *o)
{
	if (p->source.id == 0)
		return false;
	for (unsigned i = 0; i < p->suite_count; i++)
		if (tls_offer_has(&o->suites, p->suites[i]))
			return true;
	return false;
}

/* The identity comes first, whatever is exchanged beside it (RFC 4279 2 to 4, RFC 5489 2). */
bool tls_psk_asks(const struct tls_psk *p, const uint8_t *body, size_t size, const uint8_t **identity, size_t *len)
{
	size_t key_len;

	if (p->source.id == 0 || size < 2)
		return false;
	*identity = body + 2;
	*len = wire_get16(body);
	return *len > 0 && *len <= PSK_IDENTITY_MAX && *len <= size - 2 &&
	       (p->table == NULL || psk_find(p->table, *identity, *len, &key_len) == NULL);
}
