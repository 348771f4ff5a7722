/* SPDX-License-Identifier: BSD-2-Clause */
#include "keeping.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "job.h"
#include "log.h"
#include "spawner.h"

/* 0 or -errno, which is in the log. */
static int begin(struct keeping *k)
{
	int err = spawner_begin(k->quiet);

	if (err < 0) {
		log_error("the process \"dtlsd-keeper\", which starts all others, cannot be started: %s; %s", strerror(-err),
			  err == -ENOENT ? "it is run from /proc/self/exe: see that /proc is mounted where dtlsd runs" :
					   "see that memory, open files and processes suffice");
		return err;
	}
	ev_timer_stop(k->loop, &k->again);
	k->since = clock_mono_ms();
	ev_io_set(&k->said, spawner_fd(), EV_READ);
	ev_io_start(k->loop, &k->said);
	ev_child_set(&k->ended, spawner_pid(), 0);
	ev_child_start(k->loop, &k->ended);
	return 0;
}

static void pause_for(struct keeping *k, uint64_t ran)
{
	k->pause = job_pause(k->pause, ran);
	ev_timer_stop(k->loop, &k->again);
	ev_timer_set(&k->again, (double)k->pause / 1000, 0);
	ev_timer_start(k->loop, &k->again);
}

static void on_again(struct ev_loop *loop, ev_timer *t, int events)
{
	struct keeping *k = t->data;

	(void)loop;
	(void)events;
	if (!services_run_programs(k->services))
		return;
	if (begin(k) < 0) {
		pause_for(k, 0);
		return;
	}
	log_notice("the process \"dtlsd-keeper\" is there again: sessions get processes");
	services_start(k->services);
}

static void on_said(struct ev_loop *loop, ev_io *io, int events)
{
	(void)events;
	if (!spawner_read())
		ev_io_stop(loop, io);
}

static void on_ended(struct ev_loop *loop, ev_child *c, int events)
{
	struct keeping *k = c->data;
	char how[80];

	(void)events;
	(void)spawner_read(); /* what it said last */
	ev_io_stop(loop, &k->said);
	ev_child_stop(loop, c);
	spawner_lost();
	pause_for(k, clock_mono_ms() - k->since);
	job_end_text(c->rstatus, how, sizeof(how));
	log_error("the process \"dtlsd-keeper\" %s: the processes that it had started are killed, and their sessions "
		  "closed; in %u s it is started again", how, (unsigned)(k->pause / 1000));
}

void keeping_init(struct keeping *k, struct ev_loop *loop, const struct services *services, bool quiet)
{
	*k = (struct keeping){ .loop = loop, .services = services, .quiet = quiet };
	ev_init(&k->said, on_said);
	ev_init(&k->ended, on_ended);
	ev_init(&k->again, on_again);
	k->ended.data = k->again.data = k;
}

bool keeping_provide(struct keeping *k, const struct services *services)
{
	return spawner_fd() >= 0 || !services_run_programs(services) || begin(k) == 0;
}
