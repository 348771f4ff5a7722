/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mailbox: how one thread hands work to another. Any thread posts, the owner drains. A letter is
 * owned by whoever holds it; posting hands it over. A post may still be in wake when its letter has been
 * taken: a box is destroyed when nobody can be posting any more.
 */
#ifndef DTLSD_MAILBOX_H
#define DTLSD_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>

/* Embedded as the first member of a larger message. */
struct letter {
	struct letter *next;
};

struct mailbox {
	pthread_mutex_t lock;
	struct letter *first, **last;
	bool closed;
	void (*wake)(void *ctx); /* called after a post to an empty box, outside the lock */
	void *wake_ctx;
};

void mailbox_init(struct mailbox *m, void (*wake)(void *ctx), void *wake_ctx);
void mailbox_destroy(struct mailbox *m); /* asserts that it is empty */

/* false, and the letter stays the caller's, once the box is closed. */
bool mailbox_post(struct mailbox *m, struct letter *l);
/* All letters in the order of posting as a list, NULL when there are none. The caller's from now on. */
struct letter *mailbox_take(struct mailbox *m);
/* No more posts are accepted; what was posted before is returned as by mailbox_take. */
struct letter *mailbox_close(struct mailbox *m);

#endif
