/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <ev.h>

#include "census.h"
#include "clock.h"
#include "conf_diff.h"
#include "listeners.h"
#include "log.h"
#include "metrics.h"
#include "notify.h"
#include "options.h"
#include "process.h"
#include "refresh.h"
#include "secret.h"
#include "services.h"
#include "spawner.h"
#include "watched.h"
#include "worker.h"

#define FILES_KEPT 64
#define FILES_KEPT_PER_WORKER 16
#define EXPIRY_EVERY_S 3600

struct daemon {
	int argc;
	char **argv;       /* read again by a reload */
	struct conf *conf; /* in force */
	struct services services;
	struct listeners *listeners;
	struct census *census;
	unsigned files;    /* that may be open */
	struct upstream_limit upstreams;
	unsigned worker_count;
	struct worker **workers;
	bool running;
	atomic_uint finished; /* workers that have come to their end */
	atomic_uint settling; /* changes that have not had all their effects yet, of all workers */
	uint64_t revoked_told; /* sessions */
	const char *pid_file; /* that was written; of the first configuration */
	int pid_fd;
	struct conf *first;   /* which pid_file is kept by */
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
	ev_io keeper;         /* has something to say */
};

static void files_have_changed(void *ctx, const bool *services);

/* ---- what a configuration brings about ---- */

/* All that a change needs, made before anything is changed. */
struct change {
	struct conf *conf;
	struct services services;
	struct watch *watch; /* of its files, NULL: none */
	int service[LISTENERS_MOST]; /* by listener, its place in services; -1: none */
	struct worker_change *of_worker[CONF_WORKERS_MOST];
};

static void make_settings(const struct daemon *d, const struct change *c, unsigned worker, struct worker_settings *s)
{
	uint32_t rate = c->conf->handshake_rate;

	s->engine.handshake_rate = rate ? rate / d->worker_count + 1 : 0;
	s->engine.handshake_steps_per_turn = c->conf->handshake_steps_per_turn;
	for (unsigned i = 0; i < LISTENERS_MOST; i++)
		s->engine.services[i] = c->service[i] < 0 ? NULL : c->services.service[c->service[i]];
	listeners_sockets(d->listeners, worker, s);
}

static bool prepare_workers(const struct daemon *d, struct change *c)
{
	static struct worker_settings s;

	for (unsigned i = 0; i < d->worker_count; i++) {
		make_settings(d, c, i, &s);
		c->of_worker[i] = worker_prepare(&s);
		if (!c->of_worker[i]) {
			log_error("out of memory");
			return false;
		}
	}
	return true;
}

static void undo_change(struct daemon *d, struct change *c)
{
	for (unsigned i = 0; i < d->worker_count; i++)
		worker_forget(c->of_worker[i]);
	listeners_undo(d->listeners);
	services_clear(&c->services);
}

/* With services that were made. false: nothing is changed, they are gone, and the log says why. */
static bool plan_change(struct daemon *d, struct change *c)
{
	char err[600];

	memset(c->of_worker, 0, sizeof(c->of_worker));
	if (listeners_plan(d->listeners, c->conf, c->service, err, sizeof(err)) < 0) {
		log_error("%s", err);
		services_clear(&c->services);
		return false;
	}
	if (prepare_workers(d, c))
		return true;
	undo_change(d, c);
	return false;
}

/* false: nothing is changed, and the log says why. */
static bool prepare_change(struct daemon *d, struct change *c)
{
	const struct watch_config watch = { WATCH_SETTLE_S, files_have_changed, d };

	/* before the files are read, so that no change is missed */
	c->watch = c->conf->watch_files == 0 ? watched_files(c->conf, &watch) : NULL;
	if (c->conf->watch_files == 0 && !c->watch)
		log_error("out of memory");
	else if (services_make(&c->services, c->conf, &d->services) && plan_change(d, c))
		return true;
	watch_free(c->watch);
	return false;
}

static struct census_limits limits_of(const struct conf *c)
{
	return (struct census_limits){
		.sessions = c->max_sessions,
		.handshakes = c->max_handshakes,
		.sessions_per_address = c->max_sessions_per_address,
		.ipv6_prefix = c->ipv6_prefix,
		.handshakes_per_address = c->max_handshakes_per_address,
	};
}

/* Of all open files some stay for what else needs them: loops, listeners that come, a reload. */
static unsigned most_upstreams(const struct daemon *d, const struct conf *c)
{
	unsigned others = FILES_KEPT + FILES_KEPT_PER_WORKER * d->worker_count;
	unsigned most = d->files > 2 * others ? d->files - others : d->files / 2;

	return c->forward_sockets && c->forward_sockets < most ? c->forward_sockets : most;
}

/* Cannot fail. */
static void commit_change(struct daemon *d, struct change *c)
{
	struct census_limits limits = limits_of(c->conf);

	atomic_fetch_add(&d->settling, d->worker_count);
	for (unsigned i = 0; i < d->worker_count; i++)
		worker_apply(d->workers[i], c->of_worker[i]);
	listeners_commit(d->listeners);
	census_set_limits(d->census, &limits);
	atomic_store(&d->upstreams.most, most_upstreams(d, c->conf));
	services_limit(&c->services, c->conf);
	services_start(&c->services);
	services_clear(&d->services);
	d->services = c->services;
	if (d->conf != d->first && d->conf != c->conf)
		conf_free(d->conf);
	d->conf = c->conf;
}

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
		d->refresh = refresh_begin(&d->services, names_are_resolved, d);
}

/* From now on; what was asked before is of no interest any more. */
static void schedule_refresh(struct daemon *d)
{
	refresh_free(d->refresh);
	d->refresh = NULL;
	ev_timer_stop(d->loop, &d->refresh_due);
	d->refresh_due.repeat = d->conf->forward_refresh;
	ev_timer_again(d->loop, &d->refresh_due);
}

static void on_resolved(struct ev_loop *loop, ev_async *a, int events)
{
	struct daemon *d = a->data;
	struct change c = { .conf = d->conf };

	(void)loop;
	(void)events;
	if (d->refresh && !d->stopping && refresh_take(d->refresh, &d->services, &c.services) && plan_change(d, &c)) {
		commit_change(d, &c);
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
	struct change c = { .conf = d->conf };

	if (!d->stopping && services_renew(&c.services, d->conf, &d->services, services) && plan_change(d, &c))
		commit_change(d, &c);
}

/* ---- what runs out ---- */

static void on_expiry_due(struct ev_loop *loop, ev_timer *t, int events)
{
	struct daemon *d = t->data;
	uint64_t now = clock_wall_s();

	(void)loop;
	(void)events;
	services_warn(&d->services, d->expiry_told, now);
	d->expiry_told = now;
}

/* " expires_days=N" where anything ever does. */
static const char *expiry_gauge(const struct daemon *d, char *buf, size_t size)
{
	uint64_t first = services_expiry(&d->services), now = clock_wall_s();

	buf[0] = '\0';
	if (first != UINT64_MAX)
		snprintf(buf, size, " expires_days=%" PRIu64, first > now ? (first - now) / 86400 : 0);
	return buf;
}

static void announce(const struct daemon *d, const struct change *c)
{
	for (unsigned i = 0; i < LISTENERS_MOST; i++) {
		char text[CONF_LISTENER_TEXT];
		const struct service_config *s;

		if (c->service[i] < 0)
			continue;
		s = &d->services.service[c->service[i]]->config;
		log_notice("%s %s: %s%s%shandler %s, %u worker%s",
			   s->uplink ? "carrying plain datagrams from" : "serving DTLS 1.2 on",
			   listeners_text(d->listeners, i, text), d->conf->file ? "service " : "",
			   d->conf->file ? s->name : "", d->conf->file ? ", " : "", s->handler->name, d->worker_count,
			   d->worker_count == 1 ? "" : "s");
	}
}

static enum log_level level_of(const struct conf *c)
{
	int level = (int)c->log_level + (int)c->verbose - (int)c->quiet;

	level = level < LOG_ERROR_ ? LOG_ERROR_ : level > LOG_DEBUG_ ? LOG_DEBUG_ : level;
	return (enum log_level)level;
}

/* ---- boot ---- */

static unsigned processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return (unsigned)CPU_COUNT(&set);
	return 1;
}

static void worker_is_done(void *ctx)
{
	struct daemon *d = ctx;

	atomic_fetch_add(&d->finished, 1);
	ev_async_send(d->loop, &d->done);
}

static void listener_is_left(void *ctx, unsigned listener)
{
	struct daemon *d = ctx;

	listeners_left(d->listeners, listener);
	ev_async_send(d->loop, &d->left);
}

static void change_is_settled(void *ctx, unsigned changes)
{
	struct daemon *d = ctx;

	if (atomic_fetch_sub(&d->settling, changes) == changes)
		ev_async_send(d->loop, &d->settled);
}

/* A file keeps it over a restart: clients between their two hellos do not notice. */
static bool cookie_secret(const struct conf *o, uint8_t master[static COOKIE_MASTER_SIZE])
{
	char err[512];
	int rc;

	static_assert(SECRET_SIZE == COOKIE_MASTER_SIZE, "a secret is what cookie keys are derived from");
	if (o->cookie_secret) {
		rc = secret_load(o->cookie_secret, master, err, sizeof(err));
		if (rc < 0)
			log_error("%s", err);
		return rc == 0;
	}
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
			.count = d->worker_count,
			.census = d->census,
			.cookie_master = master,
			.cookie_lifetime_s = d->conf->cookie_lifetime,
		},
		.upstreams = &d->upstreams,
		.all = d->workers,
		.done = worker_is_done,
		.left = listener_is_left,
		.settled = change_is_settled,
		.ctx = d,
	};

	if (!cookie_secret(d->conf, master))
		return false;
	for (unsigned i = 0; i < d->worker_count; i++) {
		c.engine.index = i;
		d->workers[i] = worker_new(&c);
		if (!d->workers[i])
			break;
	}
	explicit_bzero(master, sizeof(master));
	if (!d->workers[d->worker_count - 1])
		log_error("cannot make %u workers: out of memory or file descriptors; lower --workers or raise ulimit -n",
			  d->worker_count);
	return d->workers[d->worker_count - 1] != NULL;
}

static bool start_workers(struct daemon *d)
{
	for (unsigned i = 0; i < d->worker_count; i++) {
		int err = worker_start(d->workers[i]);

		if (err < 0) {
			log_error("cannot start worker %u of %u: %s; lower --workers", i + 1, d->worker_count,
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
	if (!prepare_change(d, &c)) {
		conf_free(c.conf);
		return false;
	}
	conf_diff(d->conf, c.conf, say_difference, NULL);
	commit_change(d, &c);
	d->expiry_told = now; /* by the loading */
	schedule_refresh(d);
	follow_files(d, &c);
	log_set_level(level_of(d->conf));
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
		log_notice("reloaded: new handshakes use the new configuration, live sessions go on");
	else
		log_error("reload failed: the old configuration stays in force");
	notify_manager("READY=1");
}

/* By all workers. */
static uint64_t counted(const struct daemon *d, enum metric m)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < d->worker_count; i++)
		sum += metric_get(worker_metrics(d->workers[i]), m);
	return sum;
}

static void on_settled(struct ev_loop *loop, ev_async *a, int events)
{
	struct daemon *d = a->data;
	uint64_t revoked = counted(d, METRIC_session_closed_revoked);

	(void)loop;
	(void)events;
	if (revoked != d->revoked_told)
		log_notice("reload: %" PRIu64 " session%s closed: certificates and pre-shared keys that are not good any "
			   "more", revoked - d->revoked_told, revoked - d->revoked_told == 1 ? " was" : "s were");
	d->revoked_told = revoked;
}

static void on_left(struct ev_loop *loop, ev_async *a, int events)
{
	struct daemon *d = a->data;

	(void)loop;
	(void)events;
	listeners_reap(d->listeners);
}

static void on_term(struct ev_loop *loop, ev_signal *s, int events)
{
	struct daemon *d = s->data;
	/* asked twice: at once */
	uint64_t most = d->stopping ? 0 : d->conf->drain_time * UINT64_C(1000);

	(void)loop;
	(void)events;
	if (!d->stopping) {
		notify_manager("STOPPING=1");
		log_notice("stopping: %u sessions are told", census_sessions(d->census));
	}
	d->stopping = true;
	d->stop_by = clock_mono_ms() + most;
	for (unsigned i = 0; i < d->worker_count; i++)
		if (worker_drain(d->workers[i], most) == -ENOMEM)
			log_error("worker %u could not be told to stop: out of memory; signal again", i);
}

static void on_usr1(struct ev_loop *loop, ev_signal *s, int events)
{
	struct daemon *d = s->data;
	static struct metrics sum;
	char text[METRIC_COUNT * 48], expiry[48];

	(void)loop;
	(void)events;
	memset(&sum, 0, sizeof(sum));
	for (int m = 0; m < METRIC_COUNT; m++)
		metric_add(&sum, (enum metric)m, counted(d, (enum metric)m));
	spawner_add_counts(&sum);
	metrics_format(&sum, text, sizeof(text));
	log_notice("counters: sessions=%u handshakes=%u%s %s", census_sessions(d->census),
		   census_handshakes(d->census), expiry_gauge(d, expiry, sizeof(expiry)), text);
}

static void on_done(struct ev_loop *loop, ev_async *a, int events)
{
	struct daemon *d = a->data;

	(void)events;
	/* until the last of them a second signal can still hurry them */
	if (atomic_load(&d->finished) < d->worker_count)
		return;
	for (unsigned i = 0; i < d->worker_count; i++)
		worker_join(d->workers[i]);
	d->running = false;
	ev_break(loop, EVBREAK_ALL);
}

static void on_keeper(struct ev_loop *loop, ev_io *io, int events)
{
	(void)events;
	if (spawner_read())
		return;
	ev_io_stop(loop, io);
	log_error("the process \"dtlsd-keeper\" has ended: sessions have their processes, but none is started any more; "
		  "restart dtlsd");
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
	ev_io_init(&d->keeper, on_keeper, spawner_fd(), EV_READ);
	ev_io_start(d->loop, &d->keeper);
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
	if (!d->conf->pid_file)
		return true;
	d->pid_fd = process_write_pid(d->conf->pid_file);
	d->pid_file = d->conf->pid_file;
	return d->pid_fd >= 0;
}

static bool make_parts(struct daemon *d)
{
	struct census_limits limits = limits_of(d->conf);

	d->worker_count = d->conf->workers ? d->conf->workers : processors();
	if (d->worker_count > CONF_WORKERS_MOST)
		d->worker_count = CONF_WORKERS_MOST;
	d->files = process_raise_files();
	d->workers = calloc(d->worker_count, sizeof(struct worker *));
	d->census = census_new(&limits);
	d->listeners = listeners_new(d->worker_count, d->conf->hello_lane == 0);
	if (d->workers && d->census && d->listeners)
		return true;
	log_error("out of memory");
	return false;
}

/* Everything that can fail comes before the first worker runs. */
static bool boot(struct daemon *d, struct change *c)
{
	warn_of_key_log();
	d->expiry_told = clock_wall_s(); /* as loading tells */
	c->conf = d->conf;
	if (!make_parts(d) || !prepare_change(d, c))
		return false;
	if (!watch_signals(d) || !write_pid_file(d) || !make_workers(d)) {
		undo_change(d, c);
		watch_free(c->watch);
		return false;
	}
	commit_change(d, c);
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
	for (unsigned i = 0; d->workers && i < d->worker_count; i++)
		if (d->workers[i] && d->running) {
			worker_drain(d->workers[i], 0);
			worker_join(d->workers[i]);
		}
	for (unsigned i = 0; d->workers && i < d->worker_count; i++)
		if (d->workers[i])
			worker_free(d->workers[i]);
	free(d->workers);
	if (d->listeners)
		listeners_free(d->listeners);
	if (d->pid_fd >= 0)
		process_remove_pid(d->pid_file, d->pid_fd);
	refresh_free(d->refresh);
	watch_free(d->watch);
	services_clear(&d->services);
	spawner_end(time_left(d));
	if (d->census)
		census_free(d->census);
	if (d->loop)
		ev_loop_destroy(d->loop);
	if (d->conf != d->first)
		conf_free(d->conf);
	conf_free(d->first);
}

int daemon_run(int argc, char *argv[], struct conf *conf)
{
	struct daemon d = { .argc = argc, .argv = argv, .conf = conf, .first = conf, .pid_fd = -1 };
	bool background = conf->daemon, ready;
	struct change c;
	int ready_fd = -1, err;

	process_limit_heaps();
	process_fill_streams();
	/* until it serves, a daemon complains where it was started */
	log_open(conf->syslog && !background ? LOG_TO_SYSLOG : LOG_TO_STDERR, level_of(conf), "dtlsd");
	if (background)
		ready_fd = process_background();
	/* from here: nothing is loaded, and nothing but the streams is open */
	err = spawner_begin(background);
	if (err < 0)
		log_error("cannot start the keeper of processes: %s; see that memory and processes suffice", strerror(-err));
	ready = err == 0 && boot(&d, &c);
	if (ready) {
		if (background)
			log_open(LOG_TO_SYSLOG, level_of(conf), "dtlsd");
		process_leave_terminal(ready_fd);
		announce(&d, &c);
		notify_manager("READY=1");
		ev_run(d.loop, 0);
	}
	clean_up(&d);
	if (ready)
		log_notice("stopped");
	return ready ? 0 : 1;
}

int daemon_check(struct conf *conf)
{
	struct services none = { .count = 0 }, made;
	bool well;

	log_open(LOG_TO_STDERR, level_of(conf), "dtlsd");
	well = services_make(&made, conf, &none);
	if (well)
		log_notice("all is well: %u service%s", made.count, made.count == 1 ? "" : "s");
	services_clear(&made);
	conf_free(conf);
	return well ? 0 : 1;
}
