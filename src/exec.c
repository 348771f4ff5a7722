/* SPDX-License-Identifier: BSD-2-Clause */
#include "exec.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "words.h"

#define DIRECTORY "/"
#define PATH "PATH=/usr/local/bin:/usr/bin:/bin"

struct exec {
	atomic_uint refs;
	struct job_head head;
	char *text; /* all of the job but the sessions' part */
	size_t len;
	struct crew *crew;
	/* of a shared one */
	bool shared;
	pthread_mutex_t lock;
	uint64_t channel; /* the number of its socket; 0: none yet */
	int fd;           /* that; -1: none */
	bool claimed;
};

static _Atomic uint64_t channels; /* there ever were */

/* ---- what is to be run ---- */

struct maker {
	const struct exec_options *o;
	struct exec *x;
	FILE *text;
	char *err;
	size_t err_size;
};

/* Why not, NULL: it is. kind: S_IFREG or S_IFDIR. */
static const char *why_not(const char *path, mode_t kind, const char *otherwise)
{
	struct stat st;

	if (*path != '/')
		return "it is no absolute path";
	if (stat(path, &st) < 0)
		return strerror(errno);
	return (st.st_mode & S_IFMT) == kind ? NULL : otherwise;
}

static int check_command(const struct maker *m, const char *path)
{
	const char *why = why_not(path, S_IFREG, "it is no file");
	const char *advice = strchr(path, ' ') ? "write each argument as a word of its own, as: "
						 "command = {\"/path\", \"argument\"}" :
						 "name a program or script that is there and that may be executed";

	if (!why && eaccess(path, X_OK) < 0)
		why = "it may not be executed";
	if (!why)
		return 0;
	snprintf(m->err, m->err_size, "%scommand %.200s: %s; %s", m->o->dashes, path, why, advice);
	return -EINVAL;
}

static int add_command(struct maker *m)
{
	struct words w;
	int rc = words_split(&w, m->o->command);

	if (rc == 0 && w.count == 0)
		rc = -EINVAL;
	if (rc < 0)
		snprintf(m->err, m->err_size, "%scommand %.200s: %s", m->o->dashes, m->o->command,
			 rc == -E2BIG ? "it has more than 64 words; write a script that says the rest" :
			 rc == -ENOMEM ? "out of memory" : "there is no word in it, or a quote without an end; close it");
	else
		rc = check_command(m, w.word[0]);
	if (rc == 0) {
		fwrite(w.text, 1, w.size, m->text);
		m->x->head.words = w.count;
	}
	words_free(&w);
	return rc;
}

static void add_env(struct maker *m, const char *name, const char *value)
{
	fprintf(m->text, "%s%s%s", name, value ? "=" : "", value ? value : "");
	fputc('\0', m->text);
	m->x->head.env++;
}

/* NAME=VALUE, or NAME: as dtlsd has it itself, if it has. */
static int add_env_word(struct maker *m, const char *word)
{
	const char *value;

	if (*word == '=' || !*word) {
		snprintf(m->err, m->err_size, "%sexec-environment: '%.100s' has no name; write NAME=VALUE, or NAME for "
			 "what dtlsd has itself", m->o->dashes, word);
		return -EINVAL;
	}
	value = strchr(word, '=') ? NULL : getenv(word);
	if (strchr(word, '=') || value)
		add_env(m, word, value);
	return 0;
}

static int add_environment(struct maker *m)
{
	struct words w = { .count = 0 };
	int rc = words_split(&w, m->o->environment ? m->o->environment : "");
	bool path = false;

	if (rc < 0)
		snprintf(m->err, m->err_size, "%sexec-environment: %s", m->o->dashes,
			 rc == -E2BIG ? "more than 64 words; set the others in a script" :
			 rc == -ENOMEM ? "out of memory" : "a quote without an end; close it");
	for (unsigned i = 0; i < w.count && rc == 0; i++) {
		path |= strncmp(w.word[i], "PATH", 4) == 0 && (w.word[i][4] == '=' || !w.word[i][4]);
		rc = add_env_word(m, w.word[i]);
	}
	words_free(&w);
	if (!path)
		add_env(m, PATH, NULL);
	add_env(m, "DTLSD_SERVICE", m->o->service);
	return rc;
}

static int check_directory(const struct maker *m, const char *path)
{
	const char *why = why_not(path, S_IFDIR, "it is no directory");

	if (why)
		snprintf(m->err, m->err_size, "%sexec-directory %.200s: %s; name one that is there", m->o->dashes, path,
			 why);
	return why ? -EINVAL : 0;
}

static int take_umask(struct maker *m)
{
	const char *text = m->o->umask ? m->o->umask : "077";
	char *end;
	unsigned long v = strtoul(text, &end, 8);

	m->x->head.umask = (uint32_t)v;
	if (*end == '\0' && *text >= '0' && *text <= '7' && v <= 0777)
		return 0;
	snprintf(m->err, m->err_size, "%sexec-umask: '%.100s' is not an octal number from 0 to 777", m->o->dashes, text);
	return -EINVAL;
}

static int fail_account(const struct maker *m, const char *what, const char *name, const char *why)
{
	snprintf(m->err, m->err_size, "%sexec-%s: %s %.100s: %s", m->o->dashes, what, what, name, why);
	return -EINVAL;
}

static int take_group(struct maker *m)
{
	const struct group *g = getgrnam(m->o->group);

	if (!g)
		return fail_account(m, "group", m->o->group, "there is none of that name; make it with addgroup(8)");
	m->x->head.gid = g->gr_gid;
	return 0;
}

/* The account that it runs as: another one only for root. */
static int take_user(struct maker *m)
{
	struct job_head *h = &m->x->head;
	const struct passwd *p;

	h->uid = geteuid();
	h->gid = getegid();
	if (m->o->user) {
		p = getpwnam(m->o->user);
		if (!p)
			return fail_account(m, "user", m->o->user, "there is none of that name; make it with adduser(8)");
		h->uid = p->pw_uid;
		h->gid = p->pw_gid;
	}
	if (m->o->group && take_group(m) < 0)
		return -EINVAL;
	h->as_user = m->o->user || m->o->group;
	if (!h->as_user || geteuid() == 0)
		return 0;
	if (h->uid == geteuid() && h->gid == getegid()) {
		h->as_user = 0;
		return 0;
	}
	return fail_account(m, m->o->user ? "user" : "group", m->o->user ? m->o->user : m->o->group,
			    "only root can become another; start dtlsd as root, or leave it out");
}

static int make(struct maker *m)
{
	const char *directory = m->o->directory ? m->o->directory : DIRECTORY;

	fprintf(m->text, "%s%c%s%c", m->o->service, '\0', directory, '\0');
	if (add_command(m) < 0 || add_environment(m) < 0 || check_directory(m, directory) < 0 || take_umask(m) < 0 ||
	    take_user(m) < 0)
		return -EINVAL;
	if (fflush(m->text) == 0 && m->x->len <= JOB_MOST - 8192)
		return 0;
	snprintf(m->err, m->err_size, "%scommand: it and its environment are too long; write a script", m->o->dashes);
	return -EINVAL;
}

struct exec *exec_new(const struct exec_options *o, struct crew *crew, char *err, size_t err_size)
{
	struct exec *x = calloc(1, sizeof(*x));
	struct maker m = { .o = o, .x = x, .err = err, .err_size = err_size };
	int rc;

	snprintf(err, err_size, "out of memory");
	if (!x)
		return NULL;
	atomic_init(&x->refs, 1);
	x->crew = crew_ref(crew);
	x->shared = o->shared;
	x->fd = -1;
	pthread_mutex_init(&x->lock, NULL);
	x->head = (struct job_head){ .kind = JOB_START, .grace_ms = o->grace_s * 1000, .memory_mb = o->memory_mb,
				     .cpu_s = o->cpu_s, .files = o->files, .tasks = o->tasks, .kept = o->shared };
	m.text = open_memstream(&x->text, &x->len);
	rc = m.text ? make(&m) : -ENOMEM;
	if (m.text && fclose(m.text) != 0)
		rc = -ENOMEM;
	if (rc == 0)
		return x;
	exec_unref(x);
	return NULL;
}

/* ---- life ---- */

static void close_channel(struct exec *x)
{
	if (x->fd < 0)
		return;
	shutdown(x->fd, SHUT_RDWR); /* workers have copies */
	close(x->fd);
	x->fd = -1;
}

struct exec *exec_ref(struct exec *x)
{
	atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
	return x;
}

void exec_unref(struct exec *x)
{
	if (!x || atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1)
		return;
	close_channel(x);
	crew_unref(x->crew);
	pthread_mutex_destroy(&x->lock);
	free(x->text);
	free(x);
}

bool exec_same(const struct exec *a, const struct exec *b)
{
	return a->crew == b->crew && a->len == b->len && memcmp(a->text, b->text, a->len) == 0 &&
	       memcmp(&a->head, &b->head, sizeof(a->head)) == 0;
}

bool exec_shared(const struct exec *x)
{
	return x->shared;
}

/* ---- processes ---- */

int exec_start(struct exec *x, struct spawner_text environment, unsigned count, uint64_t now_ms)
{
	struct job_head head = x->head;

	head.env += count;
	return crew_start(x->crew, &head, (struct spawner_text){ x->text, x->len }, environment, now_ms);
}

/* The process, or the keeper, has shut it down. */
static bool is_over(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

/* With the lock. 0, or as exec_start. */
static int open_channel(struct exec *x, uint64_t now_ms)
{
	int fd;

	if (x->fd >= 0 && is_over(x->fd))
		close_channel(x);
	if (x->fd >= 0)
		return 0;
	fd = exec_start(x, (struct spawner_text){ NULL, 0 }, 0, now_ms);
	if (fd < 0)
		return fd;
	x->fd = fd;
	x->channel = ++channels;
	x->claimed = false;
	return 0;
}

int exec_channel(struct exec *x, uint64_t now_ms, uint64_t *number)
{
	int err;

	assert(x->shared);
	pthread_mutex_lock(&x->lock);
	err = open_channel(x, now_ms);
	*number = x->channel;
	pthread_mutex_unlock(&x->lock);
	return err;
}

/* Under the lock: another worker may be about to close it, and what is opened next would have its descriptor. */
int exec_copy_channel(struct exec *x, uint64_t number)
{
	int fd = -ESTALE;

	pthread_mutex_lock(&x->lock);
	if (x->fd >= 0 && x->channel == number) {
		fd = fcntl(x->fd, F_DUPFD_CLOEXEC, 3);
		fd = fd < 0 ? -errno : fd;
	}
	pthread_mutex_unlock(&x->lock);
	return fd;
}

bool exec_claim(struct exec *x, uint64_t number)
{
	bool first;

	pthread_mutex_lock(&x->lock);
	first = x->channel == number && !x->claimed;
	x->claimed |= first;
	pthread_mutex_unlock(&x->lock);
	return first;
}
