/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <ev.h>

#include "check.h"
#include "clock.h"
#include "conf_diff.h"
#include "keeping.h"
#include "log.h"
#include "metrics.h"
#include "notify.h"
#include "options.h"
#include "plant.h"
#include "process.h"
#include "refresh.h"
#include "secret.h"
#include "spawner.h"

#define EXPIRY_EVERY_S 3600

struct daemon {
	int argc;
	char **argv;       /* read again by a reload */
	struct plant plant;
	bool running;
	atomic_uint finished; /* workers that have come to their end */
	uint64_t revoked_told; /* sessions */
	const char *pid_file; /* that was written; of the first configuration */
	int pid_fd;
	struct ev_loop *loop;
	ev_signal hup, term, interrupt, usr1;
	ev_async done, left, settled, resolved;
	ev_timer refresh_due;
	struct refresh *refresh; /* that is under way */
	struct watch *watch;     /* NULL: watch-files is off */
	ev_timer expiry_due;
	uint64_t expiry_told; /* second of the wall clock until which the log has it */
	bool stopping;
	uint64_t stop_by;     /* ms; then all is to be over */
	struct keeping keeping;
};

/* ---- names of backends ---- */

static void names_are_resolved(void *ctx)
{
	struct daemon *d = ctx;

	ev_async_send(d->loop, &d->resolved);
}

static void on_refresh_due(struct ev_loop *loop, ev_timer *t, int events)
{
	struct daemon *d = t->data;

	(void)loop;
	(void)events;
	if (!d->refresh && !d->stopping)
		d->refresh = refresh_begin(&d->plant.services, names_are_resolved, d);
}

/* From now on; what was asked before is of no interest any more. */
static void schedule_refresh(struct daemon *d)
{
	refresh_free(d->refresh);
	d->refresh = NULL;
	ev_timer_stop(d->loop, &d->refresh_due);
	d->refresh_due.repeat = d->plant.conf->forward_refresh;
	ev_timer_again(d->loop, &d->refresh_due);
}

static void on_resolved(struct ev_loop *loop, ev_async *a, int events)
{
	struct daemon *d = a->data;
	struct change c = { .conf = d->plant.conf };

	(void)loop;
	(void)events;
	if (d->refresh && !d->stopping && refresh_take(d->refresh, &d->plant.services, &c.services) &&
	    plant_plan(&d->plant, &c)) {
		plant_commit(&d->plant, &c);
		log_notice("names of backends have other addresses now: new sessions use them");
	}
	schedule_refresh(d);
}

/* ---- files ---- */

static void follow_files(struct daemon *d, const struct change *c)
{
	watch_free(d->watch);
	d->watch = c->watch;
	if (d->watch)
		watch_start(d->watch, d->loop);
}

static void files_have_changed(void *ctx, const bool *services)
{
	struct daemon *d = ctx;
	struct change c = { .conf = d->plant.conf };

	if (!d->stopping && services_renew(&c.services, d->plant.conf, &d->plant.services, services) &&
	    plant_plan(&d->plant, &c))
		plant_commit(&d->plant, &c);
}

static bool prepare(struct daemon *d, struct change *c)
{
	const struct watch_config watch = { WATCH_SETTLE_S, files_have_changed, d };

	return plant_prepare(&d->plant, c, &watch);
}

static void undo(struct daemon *d, struct change *c)
{
	plant_undo(&d->plant, c);
	watch_free(c->watch);
}

/* ---- what runs out ---- */

static void on_expiry_due(struct ev_loop *loop, ev_timer *t, int events)
{
	struct daemon *d = t->data;
	uint64_t now = clock_wall_s();

	(void)loop;
	(void)events;
	services_warn(&d->plant.services, d->expiry_told, now);
	d->expiry_told = now;
}

/* " local_peers=N" where a service connects, " expires_days=N" where anything ever does. */
static const char *gauges(const struct daemon *d, char *buf, size_t size)
{
	uint64_t first = services_expiry(&d->plant.services), now = clock_wall_s();
	uint32_t peers;
	int len = 0;

	buf[0] = '\0';
	if (services_local_peers(&d->plant.services, &peers))
		len = snprintf(buf, size, " local_peers=%" PRIu32, peers);
	if (first != UINT64_MAX)
		snprintf(buf + len, size - (size_t)len, " expires_days=%" PRIu64, first > now ? (first - now) / 86400 : 0);
	return buf;
}

static void announce(const struct plant *p, const struct change *c)
{
	const char *file = p->conf->file;

	for (unsigned i = 0; i < LISTENERS_MOST; i++) {
		char text[CONF_LISTENER_TEXT];
		const struct service_config *s;

		if (c->service[i] < 0)
			continue;
		s = &p->services.service[c->service[i]]->config;
		log_notice("%s %s: %s%s%shandler %s, %u worker%s",
			   s->uplink ? "carrying plain datagrams from" : "serving DTLS 1.2 on",
			   listeners_text(p->listeners, i, text), file ? "service " : "", file ? s->name : "",
			   file ? ", " : "", s->handler->name, p->worker_count, p->worker_count == 1 ? "" : "s");
	}
}

/* ---- boot ---- */

static void worker_is_done(void *ctx)
{
	struct daemon *d = ctx;

	atomic_fetch_add(&d->finished, 1);
	ev_async_send(d->loop, &d->done);
}

static void listener_is_left(void *ctx, unsigned listener)
{
	struct daemon *d = ctx;

	listeners_left(d->plant.listeners, listener);
	ev_async_send(d->loop, &d->left);
}

static void change_is_settled(void *ctx, unsigned changes)
{
	struct daemon *d = ctx;

	if (atomic_fetch_sub(&d->plant.settling, changes) == changes)
		ev_async_send(d->loop, &d->settled);
}

/* A file keeps it over a restart: clients between their two hellos do not notice. */
static bool cookie_secret(const struct conf *o, uint8_t master[static COOKIE_MASTER_SIZE])
{
	int rc;

	static_assert(SECRET_SIZE == COOKIE_MASTER_SIZE, "a secret is what cookie keys are derived from");
	if (o->cookie_secret)
		return check_secret(o, master);
	rc = secret_random(master);
	if (rc < 0)
		log_error("no random numbers from the system: %s", strerror(-rc));
	return rc == 0;
}

static bool make_workers(struct daemon *d)
{
	uint8_t master[COOKIE_MASTER_SIZE];
	struct worker_config c = {
		.engine = {
			.count = d->plant.worker_count,
			.census = d->plant.census,
			.cookie_master = master,
			.cookie_lifetime_s = d->plant.conf->cookie_lifetime,
		},
		.upstreams = &d->plant.upstreams,
		.all = d->plant.workers,
		.done = worker_is_done,
		.left = listener_is_left,
		.settled = change_is_settled,
		.ctx = d,
	};

	if (!cookie_secret(d->plant.conf, master))
		return false;
	for (unsigned i = 0; i < d->plant.worker_count; i++) {
		c.engine.index = i;
		d->plant.workers[i] = worker_new(&c);
		if (!d->plant.workers[i])
			break;
	}
	explicit_bzero(master, sizeof(master));
	if (!d->plant.workers[d->plant.worker_count - 1])
		log_error("cannot make %u workers: out of memory or file descriptors; lower --workers or raise ulimit -n",
			  d->plant.worker_count);
	return d->plant.workers[d->plant.worker_count - 1] != NULL;
}

static bool start_workers(struct daemon *d)
{
	for (unsigned i = 0; i < d->plant.worker_count; i++) {
		int err = worker_start(d->plant.workers[i]);

		if (err < 0) {
			log_error("cannot start worker %u of %u: %s; lower --workers", i + 1, d->plant.worker_count,
				  strerror(-err));
			return false;
		}
		d->running = true;
	}
	return true;
}

/* ---- signals ---- */

static void say_difference(void *ctx, enum conf_difference what, const char *line)
{
	(void)ctx;
	if (what == CONF_AT_START)
		log_warning("reload: %s: this holds from the next start on", line);
	else
		log_notice("reload: %s", line);
}

static bool reload(struct daemon *d)
{
	uint64_t now = clock_wall_s();
	struct change c;
	char err[700];

	if (options_parse(&c.conf, d->argc, d->argv, err, sizeof(err)) != OPTIONS_RUN) {
		log_error("%s", err);
		return false;
	}
	if (!prepare(d, &c)) {
		conf_free(c.conf);
		return false;
	}
	if (!keeping_provide(&d->keeping, &c.services)) {
		undo(d, &c);
		conf_free(c.conf);
		return false;
	}
	conf_diff(d->plant.conf, c.conf, say_difference, NULL);
	plant_commit(&d->plant, &c);
	d->expiry_told = now; /* by the loading */
	schedule_refresh(d);
	follow_files(d, &c);
	log_set_level(conf_log_level(d->plant.conf));
	spawner_follow_log();
	return true;
}

static void on_hup(struct ev_loop *loop, ev_signal *s, int events)
{
	struct daemon *d = s->data;
	char state[64];

	(void)loop;
	(void)events;
	if (d->stopping)
		return;
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / 1000);
	notify_manager(state);
	if (reload(d))
		log_notice("reloaded: new handshakes use the new configuration, and live sessions go on where nothing "
			   "else is said");
	else
		log_error("reload failed: the old configuration stays in force");
	notify_manager("READY=1");
}

/* By all workers. */
static uint64_t counted(const struct daemon *d, enum metric m)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < d->plant.worker_count; i++)
		sum += metric_get(worker_metrics(d->plant.workers[i]), m);
	return sum;
}

static void on_settled(struct ev_loop *loop, ev_async *a, int events)
{
	struct daemon *d = a->data;
	uint64_t revoked = counted(d, METRIC_session_closed_revoked);

	(void)loop;
	(void)events;
	if (revoked != d->revoked_told)
		log_notice("%" PRIu64 " session%s closed: certificates and pre-shared keys that are not good any more",
			   revoked - d->revoked_told, revoked - d->revoked_told == 1 ? " was" : "s were");
	d->revoked_told = revoked;
}

static void on_left(struct ev_loop *loop, ev_async *a, int events)
{
	struct daemon *d = a->data;

	(void)loop;
	(void)events;
	listeners_reap(d->plant.listeners);
}

static void on_term(struct ev_loop *loop, ev_signal *s, int events)
{
	struct daemon *d = s->data;
	/* asked twice: at once */
	uint64_t most = d->stopping ? 0 : d->plant.conf->drain_time * UINT64_C(1000);
	uint32_t peers;

	(void)loop;
	(void)events;
	if (!d->stopping) {
		notify_manager("STOPPING=1");
		services_local_peers(&d->plant.services, &peers);
		log_notice("stopping: %u sessions are told", census_sessions(d->plant.census) + peers);
	}
	d->stopping = true;
	d->stop_by = clock_mono_ms() + most;
	for (unsigned i = 0; i < d->plant.worker_count; i++)
		if (worker_drain(d->plant.workers[i], most) == -ENOMEM)
			log_error("worker %u could not be told to stop: out of memory; signal again", i);
}

static void on_usr1(struct ev_loop *loop, ev_signal *s, int events)
{
	struct daemon *d = s->data;
	static struct metrics sum;
	char text[METRIC_COUNT * 48], more[80];

	(void)loop;
	(void)events;
	memset(&sum, 0, sizeof(sum));
	for (int m = 0; m < METRIC_COUNT; m++)
		metric_add(&sum, (enum metric)m, counted(d, (enum metric)m));
	spawner_add_counts(&sum);
	metrics_format(&sum, text, sizeof(text));
	log_notice("counters: sessions=%u handshakes=%u%s %s", census_sessions(d->plant.census),
		   census_handshakes(d->plant.census), gauges(d, more, sizeof(more)), text);
}

static void on_done(struct ev_loop *loop, ev_async *a, int events)
{
	struct daemon *d = a->data;

	(void)events;
	/* until the last of them a second signal can still hurry them */
	if (atomic_load(&d->finished) < d->plant.worker_count)
		return;
	for (unsigned i = 0; i < d->plant.worker_count; i++)
		worker_join(d->plant.workers[i]);
	d->running = false;
	ev_break(loop, EVBREAK_ALL);
}

static void watch_signal(struct daemon *d, ev_signal *s, int number,
			 void (*call)(struct ev_loop *loop, ev_signal *s, int events))
{
	ev_signal_init(s, call, number);
	s->data = d;
	ev_signal_start(d->loop, s);
}

static void watch_async(struct daemon *d, ev_async *a, void (*call)(struct ev_loop *loop, ev_async *a, int events))
{
	ev_async_init(a, call);
	a->data = d;
	ev_async_start(d->loop, a);
}

static bool watch_signals(struct daemon *d)
{
	d->loop = ev_default_loop(EVFLAG_AUTO);
	if (!d->loop) {
		log_error("cannot make the event loop: %s", strerror(errno));
		return false;
	}
	signal(SIGPIPE, SIG_IGN);
	watch_signal(d, &d->hup, SIGHUP, on_hup);
	watch_signal(d, &d->term, SIGTERM, on_term);
	watch_signal(d, &d->interrupt, SIGINT, on_term);
	watch_signal(d, &d->usr1, SIGUSR1, on_usr1);
	keeping_init(&d->keeping, d->loop, &d->plant.services, d->plant.conf->daemon);
	watch_async(d, &d->done, on_done);
	watch_async(d, &d->left, on_left);
	watch_async(d, &d->settled, on_settled);
	watch_async(d, &d->resolved, on_resolved);
	ev_timer_init(&d->refresh_due, on_refresh_due, 0, 0);
	d->refresh_due.data = d;
	ev_timer_init(&d->expiry_due, on_expiry_due, EXPIRY_EVERY_S, EXPIRY_EVERY_S);
	d->expiry_due.data = d;
	ev_timer_start(d->loop, &d->expiry_due);
	return true;
}

static void warn_of_key_log(void)
{
	const char *keylog = getenv("SSLKEYLOGFILE");

	if (keylog && *keylog)
		log_warning("SSLKEYLOGFILE is set: the keys of EVERY session are written to %s, whoever reads it reads "
			    "all traffic; unset it unless you are debugging", keylog);
}

static bool write_pid_file(struct daemon *d)
{
	if (!d->plant.conf->pid_file)
		return true;
	d->pid_fd = process_write_pid(d->plant.conf->pid_file);
	d->pid_file = d->plant.conf->pid_file;
	return d->pid_fd >= 0;
}

/* Everything that can fail comes before the first worker runs. */
static bool boot(struct daemon *d, struct change *c)
{
	warn_of_key_log();
	d->expiry_told = clock_wall_s(); /* as loading tells */
	c->conf = d->plant.conf;
	if (!plant_init(&d->plant) || !prepare(d, c))
		return false;
	if (!watch_signals(d) || !write_pid_file(d) || !make_workers(d) || !keeping_provide(&d->keeping, &c->services)) {
		undo(d, c);
		return false;
	}
	plant_commit(&d->plant, c);
	schedule_refresh(d);
	follow_files(d, c);
	return start_workers(d);
}

/* Of the drain time, in ms. */
static uint32_t time_left(const struct daemon *d)
{
	uint64_t now = clock_mono_ms();

	return d->stop_by > now ? (uint32_t)(d->stop_by - now) : 0;
}

static void clean_up(struct daemon *d)
{
	for (unsigned i = 0; d->plant.workers && i < d->plant.worker_count; i++)
		if (d->plant.workers[i] && d->running) {
			worker_drain(d->plant.workers[i], 0);
			worker_join(d->plant.workers[i]);
		}
	for (unsigned i = 0; d->plant.workers && i < d->plant.worker_count; i++)
		if (d->plant.workers[i])
			worker_free(d->plant.workers[i]);
	free(d->plant.workers);
	if (d->plant.listeners)
		listeners_free(d->plant.listeners);
	if (d->pid_fd >= 0)
		process_remove_pid(d->pid_file, d->pid_fd);
	refresh_free(d->refresh);
	watch_free(d->watch);
	services_clear(&d->plant.services);
	spawner_end(time_left(d));
	if (d->plant.census)
		census_free(d->plant.census);
	if (d->loop)
		ev_loop_destroy(d->loop);
	if (d->plant.conf != d->plant.first)
		conf_free(d->plant.conf);
	conf_free(d->plant.first);
}

int daemon_run(int argc, char *argv[], struct conf *conf)
{
	struct daemon d = { .argc = argc, .argv = argv, .plant = { .conf = conf, .first = conf }, .pid_fd = -1 };
	bool background = conf->daemon, ready;
	struct change c;
	int ready_fd = -1;

	process_limit_heaps();
	process_fill_streams();
	/* until it serves, a daemon complains where it was started */
	log_open(conf->syslog && !background ? LOG_TO_SYSLOG : LOG_TO_STDERR, conf_log_level(conf), "dtlsd");
	if (background)
		ready_fd = process_background();
	ready = boot(&d, &c);
	if (ready) {
		if (background)
			log_open(LOG_TO_SYSLOG, conf_log_level(conf), "dtlsd");
		process_leave_terminal(ready_fd);
		announce(&d.plant, &c);
		notify_manager("READY=1");
		ev_run(d.loop, 0);
	}
	clean_up(&d);
	if (ready)
		log_notice("stopped");
	return ready ? 0 : 1;
}
