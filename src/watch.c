/* SPDX-License-Identifier: BSD-2-Clause */
#include "watch.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ev.h>

#include "clock.h"
#include "log.h"

#define LOOK_S 0.25 /* in a busy directory: not more often */
#define LINKS_MOST 40 /* on the way to a file, as in the kernel */
#define EVENTS (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF)

/* What tells a file from what was there before. */
struct look {
	bool there;
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec written, changed;
};

struct file {
	char *path;
	unsigned owner;
	struct look known; /* to the owner */
	struct look seen;  /* last */
	bool told;         /* that it is gone */
};

struct watch {
	struct watch_config config;
	struct ev_loop *loop; /* NULL: not started */
	struct file *files;
	unsigned count;
	ev_io io;       /* fd -1: there is no inotify */
	ev_timer timer; /* until the next look */
	uint64_t moved_at; /* ms: when a look last found a change */
	uint64_t waits_since; /* ms: for the changes to end; 0: it does not */
	bool complained;
};

/* ---- files ---- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same(const struct look *a, const struct look *b)
{
	if (!a->there || !b->there)
		return a->there == b->there;
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       same_time(&a->written, &b->written) && same_time(&a->changed, &b->changed);
}

static struct look look_at(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return (struct look){ .there = false };
	return (struct look){ true, st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim };
}

/* Something is different from the last look. */
static bool look_at_all(struct watch *w)
{
	bool moved = false;

	for (unsigned i = 0; i < w->count; i++) {
		struct file *f = &w->files[i];
		struct look now = look_at(f->path);

		moved |= !same(&now, &f->seen);
		f->seen = now;
	}
	return moved;
}

/* ---- inotify ---- */

static void add_directory(int fd, const char *path, size_t len)
{
	char name[PATH_MAX];

	if (len == 0)
		snprintf(name, sizeof(name), "%s", *path == '/' ? "/" : ".");
	else
		snprintf(name, sizeof(name), "%.*s", (int)len, path);
	inotify_add_watch(fd, name, EVENTS | IN_ONLYDIR); /* what is not there comes with a change above it */
}

/* How much of a path comes before the last slash of its first len bytes. */
static size_t parent(const char *path, size_t len)
{
	while (len > 0 && path[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

/* The length of the beginning that is a symbolic link, which leads to target; 0: there is none. */
static size_t first_link(const char *way, char target[static PATH_MAX])
{
	char part[PATH_MAX];
	size_t len = 0;

	do {
		ssize_t n;

		len += 1 + strcspn(way + len + 1, "/");
		memcpy(part, way, len);
		part[len] = '\0';
		n = readlink(part, target, PATH_MAX - 1);
		if (n > 0) {
			target[n] = '\0';
			return len;
		}
	} while (way[len] != '\0');
	return 0;
}

/* The directories that a change of what the path leads to shows in. */
static void add_way(int fd, const char *path)
{
	char way[PATH_MAX], target[PATH_MAX], next[2 * PATH_MAX + 2];

	snprintf(way, sizeof(way), "%s", path);
	for (unsigned i = 0; i < LINKS_MOST; i++) {
		size_t len = first_link(way, target), above;

		if (len == 0)
			break;
		above = parent(way, len);
		add_directory(fd, way, above);
		if (*target == '/' || (above == 0 && *way != '/'))
			snprintf(next, sizeof(next), "%s%s", target, way + len);
		else
			snprintf(next, sizeof(next), "%.*s/%s%s", (int)above, way, target, way + len);
		if (strlen(next) >= sizeof(way))
			return;
		strcpy(way, next);
	}
	add_directory(fd, way, parent(way, strlen(way)));
}

/* Anew each time: another way may lead to the files by now. */
static void listen_for_changes(struct watch *w)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	ev_io_stop(w->loop, &w->io);
	if (w->io.fd >= 0)
		close(w->io.fd);
	ev_io_set(&w->io, fd, EV_READ);
	if (fd < 0) {
		if (!w->complained)
			log_warning("no inotify for watch-files: %s; the files are looked at every %.0f seconds: raise "
				    "the sysctl fs.inotify.max_user_instances", strerror(errno), WATCH_POLL_S);
		w->complained = true;
		return;
	}
	for (unsigned i = 0; i < w->count; i++)
		add_way(fd, w->files[i].path);
	ev_io_start(w->loop, &w->io);
}

/* ---- looking ---- */

/* What is different goes to the owners; what is gone is waited for. */
static void report(struct watch *w)
{
	bool owners[WATCH_OWNERS] = { false }, any = false;

	for (unsigned i = 0; i < w->count; i++) {
		struct file *f = &w->files[i];

		if (!f->seen.there && !f->told)
			log_warning("%s: this file is gone; what was read of it stays in force until it is back", f->path);
		f->told = !f->seen.there;
		if (!f->seen.there || same(&f->seen, &f->known))
			continue;
		f->known = f->seen;
		owners[f->owner] = any = true;
		log_info("%s has changed", f->path);
	}
	if (any)
		w->config.changed(w->config.ctx, owners);
}

static bool all_known(const struct watch *w)
{
	bool known = true;

	for (unsigned i = 0; i < w->count; i++)
		known &= same(&w->files[i].seen, &w->files[i].known);
	return known;
}

static void look_in(struct watch *w, double seconds)
{
	w->timer.repeat = seconds;
	ev_timer_again(w->loop, &w->timer);
}

/* The seconds until the changes have ended, or have been waited for long enough; 0: they have. */
static double settles_in(struct watch *w, uint64_t now)
{
	double quiet = (double)(now - w->moved_at) / 1000, waited;

	if (w->waits_since == 0)
		w->waits_since = now;
	waited = (double)(now - w->waits_since) / 1000;
	if (quiet >= w->config.settle_s || waited >= WATCH_SETTLE_MOST * w->config.settle_s)
		return 0;
	return w->config.settle_s - quiet;
}

static void look(struct watch *w)
{
	uint64_t now = clock_mono_ms();
	double wait;

	listen_for_changes(w); /* first: what comes after the look is told */
	if (look_at_all(w))
		w->moved_at = now;
	wait = all_known(w) ? 0 : settles_in(w, now);
	if (wait > 0) {
		look_in(w, wait);
		return;
	}
	w->waits_since = 0;
	report(w);
	if (!all_known(w)) /* some are gone, and the directory that they come back to may be, too */
		look_in(w, w->config.settle_s);
	else if (w->io.fd < 0)
		look_in(w, WATCH_POLL_S);
	else
		ev_timer_stop(w->loop, &w->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
	(void)loop;
	(void)events;
	look(t->data);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct watch *w = io->data;

	(void)events;
	ev_io_stop(loop, io); /* what it has to say is that there is something to look at */
	look_in(w, LOOK_S);
}

/* ---- life ---- */

struct watch *watch_new(const struct watch_config *c)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->config = *c;
	ev_io_init(&w->io, on_readable, -1, EV_READ);
	ev_timer_init(&w->timer, on_timer, 0, 0);
	w->io.data = w->timer.data = w;
	return w;
}

int watch_file(struct watch *w, const char *path, unsigned owner)
{
	struct file *files = reallocarray(w->files, w->count + 1, sizeof(*files));
	char *copy = strdup(path);

	assert(owner < WATCH_OWNERS);
	if (files)
		w->files = files;
	if (!files || !copy) {
		free(copy);
		return -ENOMEM;
	}
	files[w->count] = (struct file){ .path = copy, .owner = owner, .known = look_at(path) };
	files[w->count].seen = files[w->count].known;
	w->count++;
	return 0;
}

void watch_start(struct watch *w, struct ev_loop *loop)
{
	w->loop = loop;
	w->moved_at = clock_mono_ms();
	look(w);
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	if (w->loop) {
		ev_io_stop(w->loop, &w->io);
		ev_timer_stop(w->loop, &w->timer);
	}
	if (w->io.fd >= 0)
		close(w->io.fd);
	for (unsigned i = 0; i < w->count; i++)
		free(w->files[i].path);
	free(w->files);
	free(w);
}
