/* SPDX-License-Identifier: BSD-2-Clause */
#include "resumption.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "pool.h"
#include "siphash.h"

/*
 * Entries live long and are made while handshakes come and go: in malloc's heap each would hold back a
 * page of what they leave. Those of the usual size (331 bytes without a client certificate) lie in a pool.
 */
#define POOLED 448

struct entry {
	struct entry *next;           /* in the bucket */
	struct entry *newer, *older;  /* by last use */
	uint64_t expires_ms;
	uint32_t data_len;
	uint8_t key_len;
	uint8_t key[RESUMPTION_KEY_MAX];
	uint8_t data[];
};

struct resumption {
	pthread_mutex_t mutex;
	struct siphash_key hash_key; /* a client sends any session ID it likes */
	struct pool *pool; /* mutex held */
	struct entry **buckets;
	size_t mask;
	struct entry *newest, *oldest;
	uint64_t generation; /* of what is held */
	uint64_t latest;     /* that there is */
	uint64_t bytes; /* of data held */
	uint32_t count;
	uint32_t entries;
	uint32_t lifetime_s;
};

static struct entry **bucket_of(struct resumption *r, const gnutls_datum_t *key)
{
	return &r->buckets[siphash(&r->hash_key, key->data, key->size) & r->mask];
}

/* The link that points to the entry, or the NULL at the end of its bucket. */
static struct entry **find(struct resumption *r, const gnutls_datum_t *key)
{
	struct entry **link = bucket_of(r, key);

	while (*link != NULL && ((*link)->key_len != key->size ||
				 memcmp((*link)->key, key->data, key->size) != 0))
		link = &(*link)->next;
	return link;
}

static void unlink_age(struct resumption *r, struct entry *e)
{
	*(e->newer != NULL ? &e->newer->older : &r->newest) = e->older;
	*(e->older != NULL ? &e->older->newer : &r->oldest) = e->newer;
}

static void link_newest(struct resumption *r, struct entry *e)
{
	e->newer = NULL;
	e->older = r->newest;
	*(r->newest != NULL ? &r->newest->newer : &r->oldest) = e;
	r->newest = e;
}

static bool is_pooled(size_t data_len)
{
	return sizeof(struct entry) + data_len <= POOLED;
}

static void wipe(struct resumption *r, struct entry *e)
{
	bool pooled = is_pooled(e->data_len);

	explicit_bzero(e, sizeof(*e) + e->data_len);
	if (pooled)
		pool_put(r->pool, e);
	else
		free(e);
}

static void drop(struct resumption *r, struct entry **link)
{
	struct entry *e = *link;

	*link = e->next;
	unlink_age(r, e);
	assert(r->count > 0 && r->bytes >= e->data_len);
	r->count--;
	r->bytes -= e->data_len;
	wipe(r, e);
}

static void drop_oldest(struct resumption *r)
{
	gnutls_datum_t key = { r->oldest->key, r->oldest->key_len };

	drop(r, find(r, &key));
}

static void drop_all(struct resumption *r)
{
	while (r->oldest != NULL)
		drop_oldest(r);
	assert(r->count == 0 && r->bytes == 0);
}

struct resumption *resumption_new(uint32_t entries, uint32_t lifetime_s)
{
	struct resumption *r = calloc(1, sizeof(*r));
	size_t buckets = 1;

	if (r == NULL)
		return NULL;
	while (buckets < entries)
		buckets *= 2;
	r->buckets = calloc(buckets, sizeof(struct entry *));
	r->pool = pool_new(POOLED);
	if (r->buckets == NULL || r->pool == NULL ||
	    getrandom(&r->hash_key, sizeof(r->hash_key), 0) != (ssize_t)sizeof(r->hash_key) ||
	    pthread_mutex_init(&r->mutex, NULL) != 0) {
		if (r->pool != NULL)
			pool_free(r->pool);
		free(r->buckets);
		free(r);
		return NULL;
	}
	r->mask = buckets - 1;
	r->entries = entries;
	r->lifetime_s = lifetime_s;
	return r;
}

void resumption_free(struct resumption *r)
{
	if (r == NULL)
		return;
	drop_all(r);
	pthread_mutex_destroy(&r->mutex);
	pool_free(r->pool);
	free(r->buckets);
	free(r);
}

uint64_t resumption_renew(struct resumption *r)
{
	uint64_t generation;

	pthread_mutex_lock(&r->mutex);
	generation = ++r->latest;
	pthread_mutex_unlock(&r->mutex);
	return generation;
}

uint64_t resumption_generation(struct resumption *r)
{
	uint64_t generation;

	pthread_mutex_lock(&r->mutex);
	generation = r->latest;
	pthread_mutex_unlock(&r->mutex);
	return generation;
}

uint32_t resumption_count(struct resumption *r)
{
	uint32_t count;

	pthread_mutex_lock(&r->mutex);
	count = r->count;
	pthread_mutex_unlock(&r->mutex);
	return count;
}

/* Whose generation this is may ask; with a newer one the time of what is held is over. Mutex held. */
static bool enter(struct resumption *r, uint64_t generation)
{
	if (generation > r->generation) {
		drop_all(r);
		r->generation = generation;
	}
	return generation == r->generation;
}

static struct entry *entry_new(struct resumption *r, const gnutls_datum_t *key, const gnutls_datum_t *data)
{
	struct entry *e = is_pooled(data->size) ? pool_get(r->pool) : malloc(sizeof(*e) + data->size);

	if (e == NULL)
		return NULL;
	e->expires_ms = clock_mono_ms() + (uint64_t)r->lifetime_s * 1000;
	e->key_len = (uint8_t)key->size;
	memcpy(e->key, key->data, key->size);
	e->data_len = data->size;
	memcpy(e->data, data->data, data->size);
	return e;
}

/* Makes room, then lets the entry in. */
static void insert(struct resumption *r, const gnutls_datum_t *key, struct entry *e)
{
	uint64_t most = (uint64_t)r->entries * RESUMPTION_DATA_TYPICAL;
	struct entry **link = find(r, key);

	if (*link != NULL)
		drop(r, link);
	while (r->count > 0 && (r->count >= r->entries || r->bytes + e->data_len > most))
		drop_oldest(r);
	link = bucket_of(r, key);
	e->next = *link;
	*link = e;
	link_newest(r, e);
	r->count++;
	r->bytes += e->data_len;
}

int resumption_store(struct resumption *r, uint64_t generation, const gnutls_datum_t *key,
		     const gnutls_datum_t *data)
{
	struct entry *e;
	int rc = -ESTALE;

	if (r->entries == 0)
		return -ENOBUFS;
	if (key->size == 0 || key->size > RESUMPTION_KEY_MAX || data->size == 0 ||
	    data->size > RESUMPTION_DATA_MAX)
		return -EMSGSIZE;
	pthread_mutex_lock(&r->mutex);
	if (enter(r, generation)) {
		e = entry_new(r, key, data);
		if (e != NULL)
			insert(r, key, e);
		rc = e != NULL ? 0 : -ENOMEM;
	}
	pthread_mutex_unlock(&r->mutex);
	return rc;
}

/* The entry's link when it may be served; an expired one is dropped here. Mutex held. */
static struct entry **find_fresh(struct resumption *r, uint64_t generation, const gnutls_datum_t *key)
{
	struct entry **link;

	if (!enter(r, generation) || key->size == 0)
		return NULL;
	link = find(r, key);
	if (*link == NULL)
		return NULL;
	if (clock_mono_ms() >= (*link)->expires_ms) {
		drop(r, link);
		return NULL;
	}
	return link;
}

gnutls_datum_t resumption_retrieve(struct resumption *r, uint64_t generation, const gnutls_datum_t *key)
{
	gnutls_datum_t out = { NULL, 0 };
	struct entry **link;

	pthread_mutex_lock(&r->mutex);
	link = find_fresh(r, generation, key);
	if (link != NULL) {
		struct entry *e = *link;

		unlink_age(r, e);
		link_newest(r, e);
		out.data = gnutls_malloc(e->data_len);
		if (out.data != NULL) {
			memcpy(out.data, e->data, e->data_len);
			out.size = e->data_len;
		}
	}
	pthread_mutex_unlock(&r->mutex);
	return out;
}

int resumption_remove(struct resumption *r, uint64_t generation, const gnutls_datum_t *key)
{
	struct entry **link;
	int rc = -ENOENT;

	pthread_mutex_lock(&r->mutex);
	link = find_fresh(r, generation, key);
	if (link != NULL) {
		drop(r, link);
		rc = 0;
	}
	pthread_mutex_unlock(&r->mutex);
	return rc;
}
