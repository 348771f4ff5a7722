/* SPDX-License-Identifier: BSD-2-Clause */
#include "mailbox.h"

#include <assert.h>
#include <stddef.h>

/* A mutex that is used as it should be cannot fail to lock. */
static void lock(struct mailbox *m)
{
	int rc = pthread_mutex_lock(&m->lock);

	assert(rc == 0);
	(void)rc;
}

static void unlock(struct mailbox *m)
{
	int rc = pthread_mutex_unlock(&m->lock);

	assert(rc == 0);
	(void)rc;
}

void mailbox_init(struct mailbox *m, void (*wake)(void *ctx), void *wake_ctx)
{
	int rc = pthread_mutex_init(&m->lock, NULL);

	assert(rc == 0);
	(void)rc;
	m->first = NULL;
	m->last = &m->first;
	m->closed = false;
	m->wake = wake;
	m->wake_ctx = wake_ctx;
}

void mailbox_destroy(struct mailbox *m)
{
	int rc;

	assert(m->first == NULL);
	rc = pthread_mutex_destroy(&m->lock);
	assert(rc == 0);
	(void)rc;
}

bool mailbox_post(struct mailbox *m, struct letter *l)
{
	bool was_empty;

	lock(m);
	if (m->closed) {
		unlock(m);
		return false;
	}
	was_empty = m->first == NULL;
	l->next = NULL;
	*m->last = l;
	m->last = &l->next;
	unlock(m);
	if (was_empty) /* whoever posts to a box that is not empty knows that its owner was told */
		m->wake(m->wake_ctx);
	return true;
}

/* With the lock held. */
static struct letter *take_all(struct mailbox *m)
{
	struct letter *l = m->first;

	m->first = NULL;
	m->last = &m->first;
	return l;
}

struct letter *mailbox_take(struct mailbox *m)
{
	struct letter *l;

	lock(m);
	l = take_all(m);
	unlock(m);
	return l;
}

struct letter *mailbox_close(struct mailbox *m)
{
	struct letter *l;

	lock(m);
	m->closed = true;
	l = take_all(m);
	unlock(m);
	return l;
}
