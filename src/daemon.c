/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ev.h>

#include "census.h"
#include "clock.h"
#include "handler.h"
#include "log.h"
#include "metrics.h"
#include "notify.h"
#include "steer.h"
#include "secret.h"
#include "tls.h"
#include "udp.h"
#include "worker.h"

#define RESUMPTION_ENTRIES 10000 /* sessions of clients without tickets that are remembered, up to some KB each */
#define RESUMPTION_LIFETIME_S 21600
#define SOCKET_BUFFER (4 * 1024 * 1024)

struct daemon {
	const struct options *options;
	struct tls_options tls_options;
	struct tls_shared *shared;
	struct tls *tls;
	struct census *census;
	unsigned worker_count;
	struct worker **workers;
	bool running;
	atomic_uint finished;       /* workers that have come to their end */
	struct udp_socket *sockets; /* by worker, then by listener; behind them those for hellos in the same order */
	unsigned listeners;         /* opened */
	int pid_fd;
	int ready_fd;               /* to the parent that waits in the terminal, -1: none */
	struct ev_loop *loop;
	ev_signal hup, term, interrupt, usr1;
	ev_async done;
	bool stopping;
};

/* ---- into the background ---- */

/* The parent stays until the child is ready or has said why not, and passes its status on. */
static int go_background(void)
{
	int ends[2], status = 1;
	unsigned char byte;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		log_error("cannot go into the background: %s", strerror(errno));
		exit(1);
	}
	if (pid > 0) {
		close(ends[1]);
		if (read(ends[0], &byte, 1) == 1)
			status = byte;
		_exit(status);
	}
	close(ends[0]);
	setsid();
	return ends[1];
}

/* Files keep their names for a reload, so the working directory stays too. */
static void leave_terminal(struct daemon *d)
{
	static const unsigned char ready = 0;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (d->ready_fd < 0)
		return;
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (write(d->ready_fd, &ready, 1) != 1)
		log_warning("whoever started dtlsd is gone: %s", strerror(errno));
	close(d->ready_fd);
	d->ready_fd = -1;
}

/* Is what is open and locked still what has that name? The dtlsd before us may just have removed it. */
static bool same_file(int fd, const char *path)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
	       ours.st_ino == named.st_ino;
}

static bool write_pid_file(struct daemon *d)
{
	const char *path = d->options->pid_file;
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (!path)
		return true;
again:
	d->pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (d->pid_fd < 0) {
		log_error("--pid-file %s: %s; name a file in a directory that dtlsd may write", path, strerror(errno));
		return false;
	}
	if (flock(d->pid_fd, LOCK_EX | LOCK_NB) < 0) {
		log_error("--pid-file %s: locked by another dtlsd that is running; stop it or name another file", path);
		close(d->pid_fd);
		d->pid_fd = -1;
		return false;
	}
	if (!same_file(d->pid_fd, path)) {
		close(d->pid_fd);
		goto again;
	}
	if (ftruncate(d->pid_fd, 0) < 0 || write(d->pid_fd, text, (size_t)n) != n) {
		log_error("--pid-file %s: cannot write: %s", path, strerror(errno));
		return false;
	}
	return true;
}

static void remove_pid_file(struct daemon *d)
{
	if (d->pid_fd < 0)
		return;
	unlink(d->options->pid_file);
	close(d->pid_fd);
	d->pid_fd = -1;
}

/* ---- boot ---- */

static bool load_tls(struct daemon *d)
{
	const struct options *o = d->options;
	const char *keylog = getenv("SSLKEYLOGFILE");
	char err[512];

	d->tls_options = (struct tls_options){
		.x509certfile = o->x509certfile,
		.x509keyfile = o->x509keyfile,
		.x509cafile = o->x509cafile,
		.pskpasswd = o->pskpasswd,
		.priority = o->priority,
		.verify_client = (enum verify_client)o->verify_client,
	};
	if (keylog && *keylog)
		log_warning("SSLKEYLOGFILE is set: the keys of EVERY session are written to %s, whoever reads it reads "
			    "all traffic; unset it unless you are debugging", keylog);
	d->shared = tls_shared_new(RESUMPTION_ENTRIES, RESUMPTION_LIFETIME_S);
	if (!d->shared) {
		log_error("out of memory");
		return false;
	}
	d->tls = tls_load(&d->tls_options, d->shared, err, sizeof(err));
	if (!d->tls)
		log_error("%s", err);
	return d->tls != NULL;
}

static unsigned processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return (unsigned)CPU_COUNT(&set);
	return 1;
}

static void report_no_lane(const struct addr *a, int err)
{
	static bool told;
	char where[ADDR_TEXT_MAX];

	if (!told)
		log_warning("%s: the kernel refuses the program that gives hellos a lane of their own (%s): a flood of "
			    "them can push out records; Linux 4.5 and later take it, --hello-lane no does without",
			    addr_format(a, where), strerror(-err));
	told = true;
}

/* Opens one listener: a socket for each worker, and a second one for hellos or -1 in its place. */
static bool open_group(struct daemon *d, unsigned listener, struct udp_socket group[2 * OPTIONS_WORKERS_MAX])
{
	bool lane = d->options->hello_lane == 0;
	unsigned n = d->worker_count;
	char text[256];
	int err;

	if (udp_open(group, lane ? 2 * n : n, &d->options->listen[listener], listener, SOCKET_BUFFER, SOCKET_BUFFER,
		     text, sizeof(text)) < 0) {
		log_error("%s", text);
		return false;
	}
	if (!lane) {
		for (unsigned i = n; i < 2 * n; i++)
			group[i].fd = -1;
		return true;
	}
	err = steer_attach(group, n);
	if (err < 0) {
		report_no_lane(&group[0].bound, err);
		for (unsigned i = n; i < 2 * n; i++)
			udp_close(&group[i]);
	}
	return true;
}

/* A listener's sockets come together for all workers; each worker wants its own in a row. */
static bool open_sockets(struct daemon *d)
{
	struct udp_socket group[2 * OPTIONS_WORKERS_MAX];
	unsigned count = d->options->listen_count;

	d->sockets = calloc((size_t)2 * d->worker_count * count, sizeof(*d->sockets));
	if (!d->sockets) {
		log_error("out of memory");
		return false;
	}
	for (unsigned l = 0; l < count; l++) {
		if (!open_group(d, l, group))
			return false;
		for (unsigned i = 0; i < 2 * d->worker_count; i++)
			d->sockets[i * count + l] = group[i];
		d->listeners++;
	}
	return true;
}

static void close_sockets(struct daemon *d)
{
	if (!d->sockets)
		return;
	for (unsigned i = 0; i < 2 * d->worker_count; i++)
		for (unsigned l = 0; l < d->listeners; l++)
			udp_close(&d->sockets[i * d->options->listen_count + l]);
	free(d->sockets);
}

static void worker_is_done(void *ctx)
{
	struct daemon *d = ctx;

	atomic_fetch_add(&d->finished, 1);
	ev_async_send(d->loop, &d->done);
}

/* A file keeps it over a restart: clients between their two hellos do not notice. */
static bool cookie_secret(const struct options *o, uint8_t master[static COOKIE_MASTER_SIZE])
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

static bool make_workers(struct daemon *d, const struct handler *handler)
{
	const struct options *o = d->options;
	uint8_t master[COOKIE_MASTER_SIZE];
	struct worker_config c = {
		.engine = {
			.count = d->worker_count,
			.tls = d->tls,
			.census = d->census,
			.handler = handler,
			.cookie_master = master,
			.cookie_lifetime_s = o->cookie_lifetime,
			.idle_timeout_ms = o->idle_timeout * UINT64_C(1000),
			.handshake_timeout_ms = o->handshake_timeout * UINT64_C(1000),
			.handshake_rate = o->handshake_rate ? o->handshake_rate / d->worker_count + 1 : 0,
			.handshake_steps_per_turn = o->handshake_steps_per_turn,
			.mtu = o->mtu,
		},
		.socket_count = o->listen_count,
		.all = d->workers,
		.done = worker_is_done,
		.done_ctx = d,
	};

	if (!cookie_secret(o, master))
		return false;
	for (unsigned i = 0; i < d->worker_count; i++) {
		c.engine.index = i;
		c.sockets = d->sockets + i * o->listen_count;
		c.hello_sockets = c.sockets + d->worker_count * o->listen_count;
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

static void on_hup(struct ev_loop *loop, ev_signal *s, int events)
{
	struct daemon *d = s->data;
	char state[64], err[512];
	struct tls *fresh;

	(void)loop;
	(void)events;
	if (d->stopping)
		return;
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / 1000);
	notify_manager(state);
	fresh = tls_load(&d->tls_options, d->shared, err, sizeof(err));
	if (!fresh) {
		log_error("reload failed, the old files stay in force: %s", err);
	} else {
		for (unsigned i = 0; i < d->worker_count; i++)
			if (worker_reload(d->workers[i], fresh) < 0)
				log_error("worker %u could not be told of the reload: out of memory; send SIGHUP again", i);
		tls_unref(d->tls);
		d->tls = fresh;
		log_notice("reloaded: new handshakes use the new files, live sessions go on");
	}
	notify_manager("READY=1");
}

static void on_term(struct ev_loop *loop, ev_signal *s, int events)
{
	struct daemon *d = s->data;
	/* asked twice: at once */
	uint64_t most = d->stopping ? 0 : d->options->drain_time * UINT64_C(1000);

	(void)loop;
	(void)events;
	if (!d->stopping) {
		notify_manager("STOPPING=1");
		log_notice("stopping: %u sessions are told", census_sessions(d->census));
	}
	d->stopping = true;
	for (unsigned i = 0; i < d->worker_count; i++)
		if (worker_drain(d->workers[i], most) == -ENOMEM)
			log_error("worker %u could not be told to stop: out of memory; signal again", i);
}

static void on_usr1(struct ev_loop *loop, ev_signal *s, int events)
{
	struct daemon *d = s->data;
	static struct metrics sum;
	char text[METRIC_COUNT * 48];

	(void)loop;
	(void)events;
	memset(&sum, 0, sizeof(sum));
	for (int m = 0; m < METRIC_COUNT; m++)
		for (unsigned i = 0; i < d->worker_count; i++)
			metric_add(&sum, (enum metric)m, metric_get(worker_metrics(d->workers[i]), (enum metric)m));
	metrics_format(&sum, text, sizeof(text));
	log_notice("counters: sessions=%u handshakes=%u %s", census_sessions(d->census),
		   census_handshakes(d->census), text);
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

static void watch_signal(struct daemon *d, ev_signal *s, int number,
			 void (*call)(struct ev_loop *loop, ev_signal *s, int events))
{
	ev_signal_init(s, call, number);
	s->data = d;
	ev_signal_start(d->loop, s);
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
	ev_async_init(&d->done, on_done);
	d->done.data = d;
	ev_async_start(d->loop, &d->done);
	return true;
}

static void announce(const struct daemon *d)
{
	for (unsigned l = 0; l < d->listeners; l++) {
		char text[ADDR_TEXT_MAX];

		log_notice("serving DTLS 1.2 on %s: handler %s, %u worker%s", addr_format(&d->sockets[l].bound, text),
			   d->options->handler, d->worker_count, d->worker_count == 1 ? "" : "s");
	}
}

static bool boot(struct daemon *d)
{
	const struct options *o = d->options;
	const struct handler *handler = handler_find(o->handler);
	struct census_limits limits = {
		.sessions = o->max_sessions,
		.handshakes = o->max_handshakes,
		.sessions_per_address = o->max_sessions_per_address,
		.ipv6_prefix = o->ipv6_prefix,
		.handshakes_per_address = o->max_handshakes_per_address,
	};

	if (!handler) {
		log_error("--handler: there is no handler '%s'; dtlsd --help lists them", o->handler);
		return false;
	}
	d->worker_count = o->workers ? o->workers : processors();
	if (d->worker_count > OPTIONS_WORKERS_MAX)
		d->worker_count = OPTIONS_WORKERS_MAX;
	d->workers = calloc(d->worker_count, sizeof(struct worker *));
	d->census = census_new(&limits);
	if (!d->workers || !d->census) {
		log_error("out of memory");
		return false;
	}
	return load_tls(d) && watch_signals(d) && open_sockets(d) && write_pid_file(d) && make_workers(d, handler) &&
	       start_workers(d);
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
	close_sockets(d);
	remove_pid_file(d);
	tls_unref(d->tls);
	if (d->shared)
		tls_shared_free(d->shared);
	if (d->census)
		census_free(d->census);
	if (d->loop)
		ev_loop_destroy(d->loop);
}

/* Whoever starts us with closed standard streams must not find a socket or the log of another in their place. */
static void fill_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

int daemon_run(const struct options *o)
{
	struct daemon d = { .options = o, .pid_fd = -1, .ready_fd = -1 };
	int level = LOG_NOTICE_ + (int)o->verbose - (int)o->quiet;
	bool ready;

	fill_standard_streams();
	level = level < LOG_ERROR_ ? LOG_ERROR_ : level > LOG_DEBUG_ ? LOG_DEBUG_ : level;
	/* until it serves, a daemon complains where it was started */
	log_open(o->syslog && !o->daemon ? LOG_TO_SYSLOG : LOG_TO_STDERR, (enum log_level)level, "dtlsd");
	if (o->daemon)
		d.ready_fd = go_background();
	ready = boot(&d);
	if (ready) {
		if (o->daemon)
			log_open(LOG_TO_SYSLOG, (enum log_level)level, "dtlsd");
		leave_terminal(&d);
		announce(&d);
		notify_manager("READY=1");
		ev_run(d.loop, 0);
		log_notice("stopped");
	}
	clean_up(&d);
	return ready ? 0 : 1;
}
