/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options: every command line has a verdict, of both programs; one that is refused is explained, one that is
 * taken lies within the bounds of the manual.
 * The input is a choice of the program and its arguments, one a line.
 */
#include <assert.h>
#include <stdlib.h>

#include "conf_load.h"
#include "dtlsc_options.h"
#include "fuzz.h"
#include "options.h"
#include "setting.h"

#define ARGUMENTS_MAX 100

struct arguments {
	char *text; /* which the others point into */
	int count;
	char *argv[ARGUMENTS_MAX + 1];
};

static void read_arguments(struct arguments *a, const uint8_t *data, size_t size)
{
	static char name[] = "program";
	char *rest;

	memset(a, 0, sizeof(*a));
	rest = a->text = malloc(size + 1);
	assert(rest);
	memcpy(rest, data, size);
	rest[size] = '\0';
	a->argv[a->count++] = name;
	while (size && rest && a->count < ARGUMENTS_MAX)
		a->argv[a->count++] = strsep(&rest, "\n");
}

static bool is_argument(const struct arguments *a, size_t size, const char *text)
{
	return !text || (text >= a->text && text <= a->text + size);
}

/* linked with --wrap=conf_load: no target reads the files of this machine */
int __wrap_conf_load(struct conf *c, const char *path, char *err, size_t err_size);

int __wrap_conf_load(struct conf *c, const char *path, char *err, size_t err_size)
{
	struct conf_service *s = conf_add_service(c, "x", (struct conf_place){ path, 1 });

	assert(path && s);
	setting_presets(s, SETTING_OF_SERVICE);
	if (conf_add_listener(c, s, "127.0.0.1", (struct conf_place){ path, 1 }, err, err_size) < 0)
		return -1;
	snprintf(err, err_size, "no such file");
	return strchr(path, '/') ? -1 : 0;
}

static void check_service(const struct arguments *a, size_t size, const struct conf_service *s)
{
	assert(is_argument(a, size, s->x509certfile) && is_argument(a, size, s->x509keyfile));
	assert(is_argument(a, size, s->x509cafile) && is_argument(a, size, s->pskpasswd));
	assert(is_argument(a, size, s->priority));
	assert(s->answer.handler && (is_argument(a, size, s->answer.handler) || strcmp(s->answer.handler, "command") == 0));
	assert(s->verify_client <= 2 && s->mtu >= 228 && s->mtu <= 16384 && s->handshake_timeout >= 1);
	assert(s->listener_count >= 1 && s->listener_count <= CONF_LISTENERS_MOST);
	for (unsigned i = 0; i < s->listener_count; i++)
		for (unsigned j = 0; j < i; j++)
			assert(!s->listeners[i].addr.port ||
			       !addr_equal(&s->listeners[i].addr, &s->listeners[j].addr));
}

static void check_daemon(struct arguments *a, size_t size)
{
	struct conf *c;
	char err[512] = "";
	enum options_verdict v = options_parse(&c, a->count, a->argv, err, sizeof(err));

	assert(memchr(err, '\0', sizeof(err)));
	if (v != OPTIONS_RUN) {
		assert(v == OPTIONS_HELP || v == OPTIONS_VERSION || err[0]);
		return;
	}
	assert(c->service_count == 1 && is_argument(a, size, c->pid_file) && is_argument(a, size, c->file));
	check_service(a, size, c->services[0]);
	assert(c->workers <= CONF_WORKERS_MOST && c->cookie_lifetime >= 1 && c->drain_time >= 1);
	assert(c->max_sessions >= 1 && c->max_handshakes >= 1);
	conf_free(c);
}

static void check_client(struct arguments *a)
{
	struct dtlsc_options o;
	char err[512] = "";
	enum dtlsc_verdict v = dtlsc_options_read(&o, a->count, a->argv, err, sizeof(err));

	assert(memchr(err, '\0', sizeof(err)));
	switch (v) {
	case DTLSC_RUN:
		assert(o.host[0] && memchr(o.host, '\0', sizeof(o.host)));
		assert(o.port[0] && memchr(o.port, '\0', sizeof(o.port)));
		assert(o.timeout_ms > 0 && o.wait_ms >= 0);
		assert(!o.pskkey || strspn(o.pskkey, "0123456789abcdefABCDEF") == strlen(o.pskkey));
		break;
	case DTLSC_BAD:
		assert(err[0]);
		break;
	case DTLSC_DONE:
		break;
	}
	dtlsc_options_free(&o);
}

/* What was read before, to its end or not, does not matter. */
static void check_afresh(bool client)
{
	char name[] = "program", err[512] = "";
	char *argv[4] = { name };
	struct dtlsc_options o;
	struct conf *c;

	if (client) {
		assert(dtlsc_options_read(&o, 1, argv, err, sizeof(err)) == DTLSC_BAD && err[0]);
		return;
	}
	assert(options_parse(&c, 1, argv, err, sizeof(err)) == OPTIONS_RUN);
	assert(c->services[0]->listener_count == 2);
	conf_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	bool client = fuzz_u8(&in) & 1;
	struct arguments a;

	if (in.left && memchr(in.at, '\0', in.left))
		return 0;
	read_arguments(&a, in.at, in.left);
	if (client)
		check_client(&a);
	else
		check_daemon(&a, in.left);
	check_afresh(client);
	free(a.text);
	return 0;
}
