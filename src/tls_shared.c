/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_shared.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct tls_shared {
	pthread_mutex_t mutex; /* of trust and ticket_key; the cache has its own */
	struct resumption *cache;
	gnutls_datum_t ticket_key;
	uint8_t trust[TLS_TRUST_SIZE];
	bool trust_known;
	bool caching;
	uint32_t lifetime_s;
	struct siphash_key hash_key;
};

/* gnutls_session_ticket_key_generate's key belongs to gnutls_free, so it is wiped by hand. */
static void ticket_key_free(gnutls_datum_t *key)
{
	if (key->data != NULL)
		explicit_bzero(key->data, key->size);
	gnutls_free(key->data);
	*key = (gnutls_datum_t){ NULL, 0 };
}

/* Mutex held. New keys where trust is not what it was; out gets a copy of what is in force. */
static int join_locked(struct tls_shared *s, const uint8_t trust[static TLS_TRUST_SIZE], struct tls_share *out)
{
	if (!s->trust_known || memcmp(s->trust, trust, TLS_TRUST_SIZE) != 0) {
		gnutls_datum_t fresh;

		if (gnutls_session_ticket_key_generate(&fresh) < 0)
			return -ENOMEM;
		ticket_key_free(&s->ticket_key);
		s->ticket_key = fresh;
		memcpy(s->trust, trust, TLS_TRUST_SIZE);
		s->trust_known = true;
		resumption_renew(s->cache);
	}
	out->generation = resumption_generation(s->cache);
	out->ticket_key.data = gnutls_malloc(s->ticket_key.size);
	if (out->ticket_key.data == NULL)
		return -ENOMEM;
	out->ticket_key.size = s->ticket_key.size;
	memcpy(out->ticket_key.data, s->ticket_key.data, s->ticket_key.size);
	return 0;
}

int tls_share_join(struct tls_shared *s, const uint8_t trust[static TLS_TRUST_SIZE], struct tls_share *out)
{
	int rc;

	out->cache = s->caching && s->lifetime_s > 0 ? s->cache : NULL;
	out->lifetime_s = s->lifetime_s;
	pthread_mutex_lock(&s->mutex);
	rc = join_locked(s, trust, out);
	pthread_mutex_unlock(&s->mutex);
	return rc;
}

const struct siphash_key *tls_shared_hash_key(const struct tls_shared *s)
{
	return &s->hash_key;
}

void tls_share_clear(struct tls_share *s)
{
	ticket_key_free(&s->ticket_key);
}

struct tls_shared *tls_shared_new(uint32_t cache_entries, uint32_t lifetime_s)
{
	struct tls_shared *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->cache = resumption_new(cache_entries, lifetime_s);
	if (s->cache == NULL || getrandom(&s->hash_key, sizeof(s->hash_key), 0) != (ssize_t)sizeof(s->hash_key) ||
	    pthread_mutex_init(&s->mutex, NULL) != 0) {
		resumption_free(s->cache);
		free(s);
		return NULL;
	}
	s->caching = cache_entries > 0;
	s->lifetime_s = lifetime_s;
	return s;
}

void tls_shared_free(struct tls_shared *s)
{
	if (s == NULL)
		return;
	resumption_free(s->cache);
	ticket_key_free(&s->ticket_key);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}
