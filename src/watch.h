/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch: notices that files are others than they were, however they are replaced: written in place, by a rename, or by
 * a symbolic link that leads elsewhere now, be it one of the directories on the way (certbot, Kubernetes). The main
 * thread's.
 *
 * inotify(7) tells of the directories that lie on the way; then the files are looked at. Without inotify they are looked
 * at every WATCH_POLL_S.
 */
#ifndef DTLSD_WATCH_H
#define DTLSD_WATCH_H

#include <stdbool.h>

#define WATCH_OWNERS 64
#define WATCH_SETTLE_S 2.0 /* since the last change: a certificate and its key come one after the other */
#define WATCH_SETTLE_MOST 10 /* times as long at the most, where some file changes all the time */
#define WATCH_POLL_S 10.0

struct ev_loop;
struct watch;

struct watch_config {
	double settle_s;
	/* By owner: some of its files are there and others than they were at the last call, or at watch_file. */
	void (*changed)(void *ctx, const bool owners[WATCH_OWNERS]);
	void *ctx;
};

struct watch *watch_new(const struct watch_config *c); /* NULL: out of memory */
/* From what it is now; to be called before the file is read. The owner is below WATCH_OWNERS. 0 or -ENOMEM. */
int watch_file(struct watch *w, const char *path, unsigned owner);
void watch_start(struct watch *w, struct ev_loop *loop); /* once, after all files */
void watch_free(struct watch *w);  /* NULL is fine */

#endif
